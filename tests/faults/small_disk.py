"""What happens on a disk that fills up: run by ``test_full_disk.py`` in a process of its own.

``python -m tests.faults.small_disk FOLDER CASE`` does the work of a case on the disk that FOLDER is, fills
the disk in between, and prints one JSON object with what was said and what was left.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainlm_core.base.errors import BrainLMError

#: Set by the test where it could not make a small disk: every file is then kept below this size instead.
NO_DISK = "--limit-file-size"


class Disk:
    """The disk under test: it can be filled and freed."""

    def __init__(self, folder: Path, real: bool) -> None:
        self.folder, self.real = folder, real
        self._ballast = folder / "ballast"

    def fill(self, leave: int) -> None:
        """Leave only so many bytes."""
        if not self.real:
            resource.setrlimit(resource.RLIMIT_FSIZE, (leave, resource.RLIM_INFINITY))
            return
        with self._ballast.open("wb", buffering=0) as stream:
            try:
                while stream.write(b"x" * (1 << 16)):
                    pass
            except OSError:
                pass
            stream.truncate(max(0, stream.tell() - leave))

    def free(self) -> None:
        """Take the ballast away."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self._ballast.unlink(missing_ok=True)

    def content(self) -> dict[str, str]:
        """Return a digest of every file."""
        return {
            str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(self.folder.rglob("*"))
            if p.is_file() and p != self._ballast
        }


def said(work: Callable[[], object]) -> str:
    """Return the sentence that the work ends with, empty when it succeeds; a defect comes through."""
    try:
        work()
    except BrainLMError as error:
        return str(error)
    return ""


def recording(disk: Disk, _: Path) -> dict[str, Any]:
    from tests.engine.small_engines import recording as make

    path = disk.folder / "rec.npz"
    make(300, n_parcels=40).save(path)
    before = disk.content()
    disk.fill(20_000)
    sentence = said(lambda: make(300, n_parcels=40, seed=1).save(path))
    return {"said": [sentence], "kept": disk.content() == before}


def results(disk: Disk, aside: Path) -> dict[str, Any]:
    """Write what the analyses write, again onto a disk that has become full."""
    from brainlm_core.features.forecast.analysis import ForecastOptions
    from brainlm_core.features.forecast.analysis import analyse as forecast
    from brainlm_core.features.networks.analysis import NetworksOptions, analyse
    from brainlm_core.features.reconstruct.analysis import ReconstructOptions, reconstruct
    from brainlm_core.inference.engine import Engine
    from tests.engine.small_engines import recording as make
    from tests.engine.small_engines import save_tiny

    engine = Engine.load(save_tiny(aside / "tiny"), device="cpu", precision="fp32")
    scan = make(450, n_parcels=40, tr_s=0.72)
    made = {
        "networks": analyse(engine, scan, NetworksOptions(n_networks=3)),
        "forecast": forecast(engine, scan, ForecastOptions(n_starts=2)),
        "reconstruction": reconstruct(engine, scan, ReconstructOptions()),
    }
    for name, result in made.items():
        result.save(disk.folder / name)
    (disk.folder / "networks" / "notes.txt").write_text("mine")
    before = disk.content()
    disk.fill(3_000)
    sentences = [said(lambda r=result, n=name: r.save(disk.folder / n)) for name, result in made.items()]
    kept = disk.content() == before
    disk.free()
    again = [said(lambda r=result, n=name: r.save(disk.folder / n)) for name, result in made.items()]
    names = sorted(before) == sorted(disk.content())
    return {"said": sentences, "kept": kept and names, "again": again}


def cohort(disk: Disk, aside: Path) -> dict[str, Any]:
    """Import scans and embed them; both stop half way and go on."""
    from brainlm_core.cohort.embed_run import embed_cohort
    from brainlm_core.cohort.files import read_embeddings
    from brainlm_core.cohort.importing import import_scans
    from brainlm_core.cohort.sources import ImportOptions, find_scans
    from brainlm_core.cohort.store import CohortStore
    from brainlm_core.cohort.tasks import CohortReference, EmbedSettings
    from tests.cohort.cohort_tools import write_pack
    from tests.engine.small_engines import save_tiny

    n = 20
    pack = write_pack(aside, n, n_parcels=40)
    scans = find_scans(pack["path"], ImportOptions(coordinates=(str(pack["coordinates"]),), tr_s=2.0))
    path = disk.folder / "st"
    CohortStore.create(path)

    def take_in() -> None:
        import_scans(CohortStore.open(path), scans)

    disk.fill(100_000 if disk.real else 500)
    sentences = [said(take_in)]
    here = CohortStore.open(path)
    whole = [here.cohort().recording(i).n_parcels == 40 for i in range(len(here))] if len(here) else []
    stopped_at = len(here)
    disk.free()
    again = [said(take_in)]
    complete = len(CohortStore.open(path)) == n

    reference, settings = CohortReference(str(path)), EmbedSettings(model=save_tiny(aside / "tiny"))
    output = disk.folder / "e.parquet"

    def embed() -> None:
        embed_cohort(reference, output, settings, workers=0)

    disk.fill(50_000 if disk.real else 4_000)
    sentences.append(said(embed))
    none_yet = not output.exists()
    disk.free()
    again.append(said(embed))
    complete = complete and len(set(read_embeddings(output).ids)) == n
    return {
        "said": sentences,
        "kept": all(whole) and none_yet and complete and stopped_at < n,
        "again": again,
    }


def training(disk: Disk, aside: Path) -> dict[str, Any]:
    """Train until the disk is full, free it, go on to the same end as a run that was never stopped."""
    from brainlm_core.model.checkpoints import load_folder
    from brainlm_core.training.config import PretrainConfig
    from brainlm_core.training.loop import pretrain
    from tests.training.test_pretrain import _settings

    def run(output: Path, say: Callable[[str], None] = lambda _: None) -> Any:
        return pretrain(PretrainConfig(**{**_settings(aside), "output": str(output)}), say)

    def full_after_three(line: str) -> None:
        if line.startswith("step 3 "):
            disk.fill(0 if disk.real else 1_000)

    sentence = said(lambda: run(disk.folder / "run", full_after_three))
    disk.free()
    result = run(disk.folder / "run")
    never_stopped = run(aside / "whole")
    one, other = (load_folder(r.folder / "model").state_dict() for r in (result, never_stopped))
    same = all(bool((one[k] - other[k]).abs().max() < 1e-4) for k in other)
    return {"said": [sentence], "kept": result.resumed_from == 3 and same, "again": [""]}


def weights(disk: Disk, aside: Path) -> dict[str, Any]:
    """Download weights onto a full disk; with room again the rest comes."""
    import os

    import numpy as np

    from tests.engine.hub_stand_in import serve

    folder = aside / "remote" / "old_13M"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(np.random.default_rng(0).bytes(1_000_000))
    os.environ["BRAINLM_CACHE"] = str(disk.folder / "cache")
    with serve(aside / "remote") as remote:
        os.environ["HF_ENDPOINT"] = remote.url
        from brainlm_core.inference import hub

        disk.fill(600_000)
        sentence = said(lambda: hub.fetch("old_13M"))
        disk.free()
        here = hub.fetch("old_13M").folder
    whole = (here / "pytorch_model.bin").read_bytes() == (folder / "pytorch_model.bin").read_bytes()
    resumed = remote.gets[-1][1].startswith("bytes=")
    return {"said": [sentence], "kept": whole and resumed, "again": [""]}


CASES = {f.__name__: f for f in (recording, results, cohort, training, weights)}


def main() -> None:
    folder, aside, case, *rest = sys.argv[1:]
    print(json.dumps(CASES[case](Disk(Path(folder), NO_DISK not in rest), Path(aside))))


if __name__ == "__main__":
    main()
