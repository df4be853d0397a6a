"""The engine: one loaded model on one device, fed in batches, answers on the CPU.

One engine runs at a time in a process: a turn is taken for each batch (on a CPU, for some batches beside
each other; :mod:`brainlm_core.base.fair_lock`), so that visitors alternate. When memory runs out the batch is
halved; when a GPU does not hold a single window, this engine goes on on the CPU and says so.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.base.fair_lock import Cancelled
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe
from brainlm_core.base.recording import Recording
from brainlm_core.base.recording_context import CONTEXTS, check_share
from brainlm_core.inference import weights
from brainlm_core.inference.batches import TURNS, Batches
from brainlm_core.inference.device_names import DEVICES, PRECISIONS
from brainlm_core.inference.devices import choose_device, choose_precision, is_out_of_memory
from brainlm_core.inference.results import Attention, Embedded, EngineInfo, Predicted
from brainlm_core.inference.windows import Windows, make_windows
from brainlm_core.model.base import InputSpec, MaskedModel

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "Attention",
    "Cancelled",
    "Embedded",
    "Engine",
    "EngineInfo",
    "Predicted",
    "get_engine",
]

#: Engines kept in memory by :func:`get_engine`; the one unused longest leaves first.
MAX_ENGINES = 4
_Key = tuple[str, str, str, str, InputRecipe]
_CACHE: OrderedDict[_Key, Engine] = OrderedDict()
_LOADING: dict[_Key, threading.Lock] = {}
_CACHE_LOCK = threading.Lock()


class Engine(Batches):
    """A model, ready to run. Make one with :meth:`load`, or share one with :func:`get_engine`.

    Parameters
    ----------
    loaded : LoadedModel
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
    context : {"recording", "window"}
        What a model that reads the recording is given beside its window; nothing changes for all others.
    recipe : InputRecipe
        How recordings are scaled for the model; every window of this engine follows it.
    """

    def __init__(
        self,
        loaded: weights.LoadedModel,
        device: torch.device,
        precision: str,
        context: str = "recording",
        recipe: InputRecipe = DEFAULT_RECIPE,
    ) -> None:
        if context not in CONTEXTS:
            raise ConfigError(f"there is no context {context!r}", f"choose {' or '.join(CONTEXTS)}")
        info = EngineInfo(
            loaded.name,
            loaded.model.family,
            loaded.licence,
            loaded.source,
            loaded.revision,
            device.type,
            precision,
            loaded.model.n_parameters(),
            loaded.is_random,
            recipe=recipe,
        )
        super().__init__(loaded.model.eval(), info, device)
        self._wanted_context = context

    @classmethod
    def load(
        cls,
        name: str = "default",
        *,
        device: str = "auto",
        precision: str = "auto",
        context: str = "recording",
        recipe: InputRecipe = DEFAULT_RECIPE,
        accept_licence: bool = False,
        progress: Progress | None = None,
    ) -> Engine:
        """Load a model by name (see :func:`brainlm_core.inference.weights.load`) onto a device.

        Parameters
        ----------
        name : str
        device : {"auto", "cuda", "mps", "cpu"}
            ``auto`` takes the best one present.
        precision : {"auto", "fp32", "bf16", "fp16"}
            ``auto``: bf16 (else fp16) on a GPU; on a CPU bf16 where the processor multiplies bf16
            natively and the family stands it, else fp32.
        context : {"recording", "window"}
            See the class.
        recipe : InputRecipe
        accept_licence : bool
            Accept the licence of the published weights.
        progress : callable or None

        Raises
        ------
        ConfigError
            If the device, the precision or the context is unknown.
        EngineError
            If the device is not there.
        """
        where = choose_device(device)
        loaded = weights.load(name, progress=progress, accept_licence=accept_licence)
        return cls(loaded, where, choose_precision(precision, where, loaded.model), context, recipe)

    @property
    def spec(self) -> InputSpec:
        """What the model was trained on, and what it is given beside a window."""
        spec = replace(self.model.spec, recipe=self.info.recipe)
        return spec if spec.context == "window" else replace(spec, context=self._wanted_context)

    @property
    def context(self) -> str:
        """What the model reads beside a window: ``recording`` or ``window``."""
        return self.spec.context

    def windows(self, recording: Recording, **settings: Any) -> Windows:
        """Cut a recording for this model; settings of :func:`brainlm_core.inference.windows.make_windows`."""
        return make_windows(recording, self.spec, **settings)

    def reconstruct(
        self,
        windows: Windows,
        hidden: BoolArray,
        *,
        only_hidden: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Predicted:
        """Predict windows from their visible parts.

        Parameters
        ----------
        windows : Windows
        hidden : ndarray (W, P, T) or anything that broadcasts to it, bool
            True where the model must not look. Padding is hidden besides.
        only_hidden : bool
            Predict hidden entries only, which some families do faster; the rest is then undefined.

        Returns
        -------
        Predicted
        """
        predicted = np.empty(windows.values.shape, dtype=np.float32)
        truly = np.empty(windows.values.shape, dtype=bool)

        def one(part: slice, signal: Tensor, xyz: Tensor, hide: Tensor | None) -> None:
            assert hide is not None
            run = self.model.reconstruct_hidden if only_hidden else self.model.reconstruct
            answer = run(signal, xyz, hide, **self._context(windows, part))
            predicted[part] = answer.predicted.float().cpu().numpy()
            truly[part] = answer.hidden.cpu().numpy()

        times = self.model.hidden_only_batch if only_hidden else 1
        self._run(windows, hidden, one, "Reconstructing", progress, cancel, times, True)
        return Predicted(predicted, truly)

    def prior_answer(
        self,
        windows: Windows,
        hidden: BoolArray,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> FloatArray | None:
        """Predict windows by the closed-form prior of the model alone; None for families without one.

        Arguments as in :meth:`reconstruct`.

        Returns
        -------
        ndarray (W, P, T), float32, or None
        """
        prior = getattr(self.model, "prior_reconstruct", None)
        if prior is None:
            return None
        out = np.empty(windows.values.shape, dtype=np.float32)

        def one(part: slice, signal: Tensor, xyz: Tensor, hide: Tensor | None) -> None:
            out[part] = prior(signal, xyz, hide).predicted.float().cpu().numpy()

        self._run(windows, hidden, one, "Asking the prior", progress, cancel, apart=True)
        return out

    def embed(
        self,
        windows: Windows,
        hidden: BoolArray | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Embedded:
        """Embed windows; arguments as in :meth:`reconstruct`, everything visible by default."""
        cls: list[FloatArray] = []
        tokens: list[FloatArray] = []

        def one(part: slice, signal: Tensor, xyz: Tensor, hide: Tensor | None) -> None:
            answer = self.model.encode(signal, xyz, hide, **self._context(windows, part))
            cls.append(answer.cls.float().cpu().numpy())
            tokens.append(answer.tokens.float().cpu().numpy())

        self._run(windows, hidden, one, "Embedding", progress, cancel)
        return Embedded(np.concatenate(cls), np.concatenate(tokens))

    def attention(
        self,
        windows: Windows,
        average: bool = True,
        *,
        hidden: BoolArray | None = None,
        steadied: float = 0.0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Attention:
        """Read the encoder's attention out.

        Parameters
        ----------
        windows : Windows
        average : bool
            Mean over windows (summed as they come); False keeps one map per window.
        hidden : ndarray (W, P, T) or None
            As in :meth:`reconstruct`; everything visible by default, and then a model that reads the
            recording reads all of it.
        steadied : float
            Of a model that reads the recording: share of the group that the scan's map is steadied with,
            0 (the scan alone) to 1.

        Returns
        -------
        Attention

        Raises
        ------
        ConfigError
            If the model has no map of the scan alone that could be steadied, or the share is out of range.
        """
        check_share(steadied)
        if steadied > 0 and not self.model.reads_recording:
            raise ConfigError(
                f"the maps of {self.info.model_name} cannot be steadied by the group", "leave the share at 0"
            )
        how = {"steadied": steadied} if steadied > 0 else {}
        maps: list[FloatArray] = []
        cls: list[FloatArray] = []
        group: list[NDArray[np.int64]] = []

        def one(part: slice, signal: Tensor, xyz: Tensor, hide: Tensor | None) -> None:
            context = self._context(windows, part, whole=hidden is None)
            answer = self.model.attention(signal, xyz, hide, **context, **how)
            new, new_cls = answer.maps.float().cpu().numpy(), answer.cls.float().cpu().numpy()
            group[:] = [answer.group.cpu().numpy()]
            if not average:
                maps.append(new)
                cls.append(new_cls)
            elif maps:
                maps[0] += new.sum(axis=0)
                cls[0] += new_cls.sum(axis=0)
            else:
                maps.append(new.sum(axis=0))
                cls.append(new_cls.sum(axis=0))

        self._run(
            windows,
            hidden,
            one,
            "Reading attention",
            progress,
            cancel,
        )
        if average:
            share = np.float32(1 / windows.n_windows)
            return Attention(maps[0] * share, cls[0] * share, group[0])
        return Attention(np.concatenate(maps), np.concatenate(cls), group[0])

    @contextmanager
    def gradients(self) -> Iterator[MaskedModel]:
        """Hold the device for work that needs gradients with respect to the input; full precision.

        Yields
        ------
        MaskedModel
            On :attr:`device`. Leave soon: nobody else computes meanwhile.
        """
        with TURNS.take(), torch.inference_mode(False), torch.enable_grad():
            try:
                yield self.model
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                what = f"the gradients do not fit into {self.device.type} memory"
                raise EngineError(what, "choose a smaller model or another device") from error

    def twin(self) -> Engine:
        """Return the same architecture with random weights; the engine itself if it is such a twin."""
        if self.info.is_random:
            return self
        return get_engine(
            f"random:{self.info.model_name}",
            device=self.info.device,
            precision=self.info.precision,
            context=self._wanted_context,
            recipe=self.info.recipe,
        )

    def with_recipe(self, recipe: InputRecipe) -> Engine:
        """Return an engine on the CPU with the same weights in memory that scales recordings otherwise.

        Weights on another device may have to leave it, which only one engine may see to.
        """
        other = copy.copy(self)
        other.info = replace(self.info, recipe=recipe)
        return other

    def call(
        self,
        work: Callable[..., Any],
        *args: Any,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        **settings: Any,
    ) -> Any:
        """Run work where the model is: here.

        For work that needs the model itself. An engine on another machine sends it there, so it must be a
        function of a module, and its arguments and its result must be values.

        Parameters
        ----------
        work : callable
            Takes the engine, ``args``, and ``progress``, ``cancel`` and ``settings`` by name.
        """
        return work(self, *args, progress=progress, cancel=cancel, **settings)

    def _leave_device(self) -> None:
        """Forget this engine besides: the next one that is loaded tries the GPU again."""
        super()._leave_device()
        with _CACHE_LOCK:
            for key in [k for k, engine in _CACHE.items() if engine is self]:
                del _CACHE[key]


def get_engine(
    name: str = "default",
    *,
    device: str = "auto",
    precision: str = "auto",
    context: str = "recording",
    recipe: InputRecipe = DEFAULT_RECIPE,
    **settings: Any,
) -> Engine:
    """Return this process's engine for a model; settings as in :meth:`Engine.load`.

    At most :data:`MAX_ENGINES` stay in memory.
    """
    key = (name, device, precision, context, recipe)
    with _CACHE_LOCK:
        loading = _LOADING.setdefault(key, threading.Lock())
    with loading:  # a download of one model keeps nobody from another one
        with _CACHE_LOCK:
            engine = _CACHE.get(key)
            same = next((e for k, e in _CACHE.items() if k[:-1] == key[:-1]), None)
        if engine is None and same is not None and same.device.type == "cpu":
            engine = same.with_recipe(recipe)
        if engine is None:
            engine = Engine.load(
                name, device=device, precision=precision, context=context, recipe=recipe, **settings
            )
        with _CACHE_LOCK:
            _CACHE[key] = engine
            _CACHE.move_to_end(key)
            while len(_CACHE) > MAX_ENGINES:
                _CACHE.popitem(last=False)
        return engine
