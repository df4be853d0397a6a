"""A number or a yes-or-no of a person from embeddings: the published head, trained on whole people and sites.

The head is that of the published fine-tuned models: Linear D → D/2, ReLU, Linear D/2 → D/2, ReLU,
Linear D/2 → 1, on the summary token or on the mean over parcels. Unlike there, nothing is hidden when it
predicts.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainlm_core.base.errors import CheckpointError, ConfigError
from brainlm_core.base.recording import Recording
from brainlm_core.base.writing import whole_files
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.inference import weights
from brainlm_core.inference.windows import make_windows
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.checkpoints import load_folder, save_folder, save_tensors
from brainlm_core.training.config import FinetuneConfig
from brainlm_core.training.published_head import TARGET, has_head, read_head
from brainlm_core.training.samples import Series, check_sides, load_series, open_data
from brainlm_core.training.task import Task, stacked

HEAD_NAME, HEAD_FACTS = "head.safetensors", "head.json"
#: Fewest people on each side of the split.
MIN_TRAIN, MIN_HELD = 20, 10
Say = Callable[[str], None]


class ClinicalHead(nn.Module):
    """The published three-layer head.

    Parameters
    ----------
    width : int
        Of the embedding, D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 2)
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, 1)
        )
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) → (B,): standardised target, or log-odds."""
        out: Tensor = self.layers((embedding - self.mean) / self.spread)
        return out[:, 0]


class _Predictor(nn.Module):
    """Model and head together; what the checkpoints hold."""

    def __init__(self, model: MaskedModel, head: ClinicalHead, pool: str) -> None:
        super().__init__()
        self.model, self.head, self.pool = model, head, pool

    def embedding(self, signal: Tensor, xyz: Tensor) -> Tensor:
        """(B, P, T), (P, 3) → (B, D)."""
        encoded = self.model.encode(signal, xyz)
        return (encoded.cls if self.pool == "cls" else encoded.tokens.mean(dim=1)).float()


class _Loss(nn.Module):
    def __init__(self, predictor: _Predictor, binary: bool, frozen: bool) -> None:
        super().__init__()
        self.predictor, self.binary, self.frozen = predictor, binary, frozen

    def forward(self, groups: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        losses = []
        for signal, xyz, wanted in groups:
            with torch.set_grad_enabled(not self.frozen and torch.is_grad_enabled()):
                embedding = self.predictor.embedding(signal, xyz)
            told = self.predictor.head(embedding)
            error = (
                nn.functional.binary_cross_entropy_with_logits(told, wanted, reduction="none")
                if self.binary
                else (told - wanted) ** 2
            )
            losses.append(error)
        return torch.cat(losses).mean()


@dataclass(frozen=True, eq=False)
class _Person:
    series: Series
    wanted: float


class ClinicalTask(Task):
    """Train the head, or head and model, on a column of the phenotypes.

    Parameters
    ----------
    config : FinetuneConfig
    say : callable

    Raises
    ------
    ConfigError, ScanError, CheckpointError
        When settings, data or weights do not fit, when sites or people are on both sides of the split, and
        when there are too few people.
    """

    def __init__(self, config: FinetuneConfig, say: Say) -> None:
        self._config, self._binary = config, config.task == "binary"
        model = weights.load(config.start_from, accept_licence=config.accept_licence).model
        self._frozen = config.train == "head"
        if model.family == "kernel" and not self._frozen:
            raise ConfigError(
                "the default model is fitted in closed form and cannot be trained through",
                "set train: head, or start from a model of another family",
            )
        model.requires_grad_(not self._frozen)
        training, held, self._classes = _people(config, model)
        values = np.array([p.wanted for p in training])
        self._centre: float = 0.0 if self._binary else float(values.mean())
        self._scale: float = 1.0 if self._binary else float(values.std()) or 1.0
        self._training, self._held = training, held
        width = int(_embedding_width(model, training[0].series, config.pool))
        torch.manual_seed(config.seed)
        head = ClinicalHead(width)
        self._predictor = _Predictor(model, head, config.pool)
        super().__init__(self._predictor)
        say(f"Standardising the embeddings of {len(training)} recordings")
        self._standardise()

    @property
    def loss(self) -> nn.Module:
        """See :class:`Task`."""
        return _Loss(self._predictor, self._binary, self._frozen)

    def batch(self, first: int, size: int, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return (signal (B, P, T), xyz (P, 3), wanted (B,)) for each parcellation."""
        groups: dict[bytes, list[tuple[Tensor, Tensor, Tensor]]] = {}
        length = self._predictor.model.spec.n_timepoints
        for number in range(first, first + size):
            rng = np.random.default_rng([self._config.seed, 0, number])
            person = self._training[int(rng.integers(len(self._training)))]
            values = person.series.values
            start = int(rng.integers(values.shape[1] - length + 1))
            wanted = torch.tensor((person.wanted - self._centre) / self._scale, dtype=torch.float32)
            sample = torch.from_numpy(values[:, start : start + length].copy()), person.series.xyz, wanted
            groups.setdefault(person.series.xyz.numpy().tobytes(), []).append(sample)
        return [
            (
                stacked([s for s, _, _ in group], device),
                group[0][1].to(device),
                stacked([w for _, _, w in group], device),
            )
            for group in groups.values()
        ]

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """Score the people held back: R² and MAE, or AUC and balanced accuracy, beside the dummy's."""
        from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, r2_score, roc_auc_score

        self._predictor.eval()
        told = np.array([self._predict(p.series, device) for p in self._held])
        truth = np.array([p.wanted for p in self._held])
        if self._binary:
            return {
                "auc": float(roc_auc_score(truth, told)),
                "balanced_accuracy": float(balanced_accuracy_score(truth, told > 0.5)),
                "dummy_auc": 0.5,
            }
        guess = np.full(len(truth), np.mean([p.wanted for p in self._training]))
        return {
            "r2": float(r2_score(truth, told)),
            "mae": float(mean_absolute_error(truth, told)),
            "dummy_r2": float(r2_score(truth, guess)),
            "dummy_mae": float(mean_absolute_error(truth, guess)),
        }

    def deliver(self, folder: Path) -> None:
        """Write ``model/``: the weights, the head, and what the head is for."""
        model = self._predictor.model.eval()
        half = self._config.store == "fp16"
        save_folder(copy.deepcopy(model).half() if half else model, folder / "model")
        head = {k: v.detach().cpu().contiguous() for k, v in self._predictor.head.state_dict().items()}
        facts = {
            "task": self._config.task,
            "target": self._config.target,
            "classes": list(self._classes),
            "pool": self._config.pool,
            "centre": self._centre,
            "scale": self._scale,
            "n_train": len(self._training),
            "n_held_back": len(self._held),
            "started_from": self._config.start_from,
            "scores": self.validate(next(self._predictor.parameters()).device),
        }
        with whole_files(folder / "model") as part:
            save_tensors(head, part / HEAD_NAME)
            (part / HEAD_FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def _predict(self, series: Series, device: torch.device) -> float:
        signal = torch.stack(_even_windows(series, self._length, self._config.windows_per_recording))
        embedding = self._predictor.embedding(signal.to(device), series.xyz.to(device))
        told = self._predictor.head(embedding).mean()
        return float(torch.sigmoid(told)) if self._binary else float(told) * self._scale + self._centre

    @property
    def _length(self) -> int:
        return self._predictor.model.spec.n_timepoints

    @torch.no_grad()
    def _standardise(self) -> None:
        """Set mean and spread of the embedding over the training recordings, one window each."""
        self._predictor.eval()
        rows = [
            self._predictor.embedding(torch.stack(_even_windows(p.series, self._length, 1)), p.series.xyz)
            for p in self._training
        ]
        table = torch.cat(rows)
        head = self._predictor.head
        head.mean.copy_(table.mean(dim=0))
        head.spread.copy_(table.std(dim=0).clamp_min(1e-6))


def _even_windows(series: Series, length: int, count: int) -> list[Tensor]:
    """Return at most ``count`` windows (P, T), spread evenly."""
    last = series.values.shape[1] - length
    starts = sorted({round(s) for s in np.linspace(0, last, min(count, 1 + last // length))})
    return [torch.from_numpy(series.values[:, s : s + length].copy()) for s in starts]


@torch.no_grad()
def _embedding_width(model: MaskedModel, series: Series, pool: str) -> int:
    encoded = model.eval().encode(torch.stack(_even_windows(series, model.spec.n_timepoints, 1)), series.xyz)
    return int((encoded.cls if pool == "cls" else encoded.tokens).shape[-1])


def _people(
    config: FinetuneConfig, model: MaskedModel
) -> tuple[list[_Person], list[_Person], tuple[str, ...]]:
    """Return training and held-back recordings with what is wanted of them, and the two classes."""
    training: list[_Person] = []
    held: list[_Person] = []
    classes: tuple[str, ...] = ()
    opened = [open_data(data) for data in config.data]
    for cohort, *_ in opened:
        if cohort.phenotypes is None:
            raise ConfigError(f"{cohort.name} has no phenotypes", "name a table with phenotypes:")
    check_sides(config.site, opened)
    for cohort, train, back in opened:
        values, classes = _wanted(config, cohort)
        for rows, people in ((train, training), (back, held)):
            known = rows[np.isfinite(values[rows])]
            for row in known:  # one at a time: recordings shorter than a window drop out
                people += [
                    _Person(s, float(values[row]))
                    for s in load_series(cohort, known[known == row], model.spec)
                ]
    for people, least, words in ((training, MIN_TRAIN, "train on"), (held, MIN_HELD, "test on")):
        if len(people) < least:
            raise ConfigError(
                f"{len(people)} recordings with {config.target} are too few to {words}",
                f"give at least {least}",
            )
        if config.task == "binary" and len({p.wanted for p in people}) < 2:
            raise ConfigError(
                f"all recordings to {words} have the same {config.target}", "hold other recordings back"
            )
    return training, held, classes


def _wanted(config: FinetuneConfig, cohort: Cohort) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the target of every recording, NaN where it is missing; 0 and 1 for two classes."""
    table, target = cohort.phenotypes, str(config.target)
    assert table is not None  # checked before
    if target not in table:
        raise ConfigError(f"the phenotypes of {cohort.name} have no column {target!r}", "correct the target")
    column = table[target]
    if config.task == "regression":
        try:
            return column.astype(float).to_numpy(), ()
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"the column {target} holds words, not numbers", "choose a numeric column, or task: binary"
            ) from error
    known = sorted(column.dropna().unique().tolist(), key=str)
    if len(known) != 2:
        raise ConfigError(
            f"the column {target} has {len(known)} different values, and two classes are wanted",
            "choose a column with two",
        )
    numbers = column.map({known[0]: 0.0, known[1]: 1.0}).astype(float).to_numpy()
    return numbers, (str(known[0]), str(known[1]))


@dataclass(frozen=True)
class Prediction:
    """What a fine-tuned head says of one recording.

    Parameters
    ----------
    target : str
    value : float
        In the target's unit, or the probability of the second class.
    classes : tuple of str
        The two classes; empty for a number.
    n_windows : int
        Windows whose answers were averaged.
    scores : dict
        Of the head on people held back when it was trained.
    """

    target: str
    value: float
    classes: tuple[str, ...]
    n_windows: int
    scores: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {**self.__dict__, "classes": list(self.classes)}


@torch.no_grad()
def predict(folder: str | Path, recording: Recording) -> Prediction:
    """Ask a fine-tuned head about one recording.

    Parameters
    ----------
    folder : str or Path
        ``model/`` of a fine-tuning run, or a published fine-tuned file with its ``config.json``.
    recording : Recording

    Raises
    ------
    CheckpointError
        If the folder holds no head, or one that does not fit its model.
    EngineError
        If the recording does not fit the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    if not (folder / HEAD_FACTS).is_file():
        if has_head(folder):
            return _predict_published(folder, recording)
        raise CheckpointError(f"{folder.name} holds no head", "give the model folder of a fine-tuning run")
    try:
        facts = json.loads((folder / HEAD_FACTS).read_text(encoding="utf-8"))
        state = load_file(folder / HEAD_NAME)
        head = ClinicalHead(len(state["mean"]))
        head.load_state_dict(state)
        pool, centre, scale = str(facts["pool"]), float(facts["centre"]), float(facts["scale"])
        binary, target = facts["task"] == "binary", str(facts["target"])
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"the head in {folder.name} is damaged", "run the fine-tuning again") from error
    predictor = _Predictor(load_folder(folder), head, pool).eval()
    windows = make_windows(recording, predictor.model.spec)
    embedding = predictor.embedding(
        torch.from_numpy(windows.values.copy()), torch.from_numpy(windows.xyz.copy())
    )
    if embedding.shape[1] != len(state["mean"]):
        raise CheckpointError(f"the head in {folder.name} is of another model", "run the fine-tuning again")
    told = float(head(embedding).mean())
    value = float(torch.sigmoid(torch.tensor(told))) if binary else told * scale + centre
    classes = tuple(str(c) for c in facts.get("classes", ()))
    return Prediction(target, value, classes, windows.n_windows, dict(facts.get("scores", {})))


def _predict_published(folder: Path, recording: Recording) -> Prediction:
    """Ask the head inside a published fine-tuned file; nothing is hidden from the encoder."""
    head, model = read_head(folder), load_folder(folder)
    windows = make_windows(recording, model.spec)
    cls = model.encode(torch.from_numpy(windows.values.copy()), torch.from_numpy(windows.xyz.copy())).cls
    if cls.shape[1] != head.width:
        raise CheckpointError(f"the head in {folder.name} is of another model", "get the file again")
    told = head.layers(cls.float()).mean()
    value = float(torch.sigmoid(told) if head.is_probability else told)
    return Prediction(TARGET, value, (), windows.n_windows, {})
