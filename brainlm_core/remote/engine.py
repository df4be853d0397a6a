"""An engine whose model is on a worker: the same questions, the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import EngineError
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe
from brainlm_core.inference.engine import Engine
from brainlm_core.inference.results import Attention, Embedded, EngineInfo, Predicted
from brainlm_core.inference.windows import Windows
from brainlm_core.model.base import InputSpec, MaskedModel
from brainlm_core.remote import worker
from brainlm_core.remote.cluster import Cluster, cluster
from brainlm_core.remote.worker import ModelKey, Request

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Windows of one request at most, in bytes: a worker that dies costs no more, and messages stay small.
MAX_BYTES = 16_000_000


class RemoteEngine(Engine):
    """A model on a worker of a Dask scheduler. Make one with :meth:`on`.

    Recordings are cut here; only windows travel. There is no ``model`` here: work that needs it goes to it
    by :meth:`call`.

    Parameters
    ----------
    where : Cluster
    key : ModelKey
    info : EngineInfo
        As the worker last said.
    spec : InputSpec
    """

    def __init__(self, where: Cluster, key: ModelKey, info: EngineInfo, spec: InputSpec) -> None:
        self._where, self._key, self._spec = where, key, spec
        self.info = info

    @classmethod
    def on(
        cls,
        scheduler: str,
        name: str = "default",
        *,
        device: str = "auto",
        precision: str = "auto",
        context: str = "recording",
        recipe: InputRecipe = DEFAULT_RECIPE,
        accept_licence: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> RemoteEngine:
        """Let a worker load a model; settings as in :meth:`brainlm_core.inference.engine.Engine.load`.

        Parameters
        ----------
        scheduler : str
            Address, ``tcp://host:8786``.
        name : str
            A folder is one on the workers, the same on all of them.
        device : {"auto", "cuda", "mps", "cpu"}
            Of the worker.
        precision : {"auto", "fp32", "bf16", "fp16"}
        context : {"recording", "window"}
        recipe : InputRecipe
        accept_licence : bool
        progress, cancel : callable, optional

        Raises
        ------
        ConfigError
            If no scheduler answers, or the workers have another version of BrainLM Explorer.
        EngineError
            If there is no worker.
        BrainLMError
            If the worker cannot load the model.
        """
        where, key = cluster(scheduler), ModelKey(name, device, precision, accept_licence, context, recipe)
        state = where.ask(Request(key, None, "", worker.describe, (), {}), progress, cancel)
        assert state.info is not None  # a finished state has it
        return cls(where, key, state.info, state.result)

    @property
    def spec(self) -> InputSpec:
        """What the model was trained on."""
        return self._spec

    def call(
        self,
        work: Callable[..., Any],
        *args: Any,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        **settings: Any,
    ) -> Any:
        """Run work where the model is: on a worker; see :meth:`brainlm_core.inference.engine.Engine.call`."""
        sent = [_standing_for(value) for value in args]
        named = {name: _standing_for(value) for name, value in settings.items()}
        request = Request(self._key, self.info.sha256, "", work, sent, named)
        state = self._where.ask(request, progress, cancel)
        if state.info is not None:
            self.info = state.info
        return state.result

    def reconstruct(
        self,
        windows: Windows,
        hidden: BoolArray,
        *,
        only_hidden: bool = False,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Predicted:
        """Predict windows from what is seen; see :meth:`brainlm_core.inference.engine.Engine.reconstruct`."""
        hide = np.broadcast_to(hidden, windows.values.shape)
        answers: list[Predicted] = []
        for part, tell in _parts(windows, progress):
            answers.append(
                self.call(
                    Engine.reconstruct,
                    _bare(windows.pick(part)),
                    hide[part],
                    only_hidden=only_hidden,
                    progress=tell,
                    cancel=cancel,
                )
            )
        if len(answers) == 1:
            return answers[0]
        return Predicted(
            np.concatenate([a.predicted for a in answers]), np.concatenate([a.hidden for a in answers])
        )

    def prior_answer(
        self,
        windows: Windows,
        hidden: BoolArray,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> FloatArray | None:
        """Predict by the prior alone; see :meth:`brainlm_core.inference.engine.Engine.prior_answer`."""
        hide = np.broadcast_to(hidden, windows.values.shape)
        answers: list[FloatArray] = []
        for part, tell in _parts(windows, progress):
            answer = self.call(
                Engine.prior_answer, _bare(windows.pick(part)), hide[part], progress=tell, cancel=cancel
            )
            if answer is None:
                return None
            answers.append(answer)
        return np.concatenate(answers)

    def embed(
        self,
        windows: Windows,
        hidden: BoolArray | None = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Embedded:
        """Embed windows; see :meth:`brainlm_core.inference.engine.Engine.embed`."""
        answer: Embedded = self.call(Engine.embed, _bare(windows), hidden, progress=progress, cancel=cancel)
        return answer

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
        """Read the encoder's attention out; see :meth:`brainlm_core.inference.engine.Engine.attention`."""
        answer: Attention = self.call(
            Engine.attention,
            _bare(windows),
            average,
            hidden=hidden,
            steadied=steadied,
            progress=progress,
            cancel=cancel,
        )
        return answer

    @contextmanager
    def gradients(self) -> Iterator[MaskedModel]:
        """Refuse: gradients are computed where the model is.

        Raises
        ------
        EngineError
        """
        raise EngineError("the model of this engine is on another machine", "send the work to it with `call`")
        yield

    def twin(self) -> Engine:
        """Return the same architecture with random weights, on the workers too."""
        if self.info.is_random:
            return self
        return RemoteEngine.on(
            self._where.address,
            f"random:{self._key.name}",
            device=self._key.device,
            precision=self.info.precision,
            context=self._key.context,
            accept_licence=self._key.accept_licence,
        )


def _parts(windows: Windows, progress: Progress | None) -> Iterator[tuple[slice, Progress | None]]:
    """Cut windows into requests; each with its share of the progress."""
    total = windows.n_windows
    size = max(1, MAX_BYTES // max(windows.values[:1].nbytes, 1))
    for start in range(0, total, size):
        stop = min(start + size, total)

        def tell(share: float, text: str, start: int = start, stop: int = stop) -> None:
            assert progress is not None
            progress((start + (stop - start) * share) / total, text)

        yield slice(start, stop), None if progress is None else tell


def _bare(windows: Windows) -> Windows:
    """Return windows without the sentences about them: they may hold a file's name."""
    return replace(windows, notices=())


def _standing_for(value: Any) -> Any:
    return value._key if isinstance(value, RemoteEngine) else value
