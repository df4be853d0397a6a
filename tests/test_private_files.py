"""What is written is for its owner alone, by one process at a time, whatever the account's umask says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import one_writer, private_folder, whole_file
from brainlm_core.cli import main
from brainlm_core.cohort.embed_run import embed_cohort
from brainlm_core.cohort.importing import import_scans
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.cohort.store import CohortStore
from brainlm_core.cohort.tasks import CohortReference, EmbedSettings
from tests.cohort.cohort_tools import write_pack
from tests.engine.small_engines import save_tiny
from tests.training.test_pretrain import _settings

HOLD = """
import sys, time
from brainlm_core.base.writing import one_writer
with one_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def generous() -> Iterator[None]:
    """An account that gives everybody everything."""
    before = os.umask(0)
    yield
    os.umask(before)


def exposed(folder: Path) -> list[str]:
    """Return what below a folder, and the folder itself, other accounts may touch."""
    found = [folder, *folder.rglob("*")]
    assert len(found) > 1, "there is something to look at"
    return [f"{p.relative_to(folder)} {p.stat().st_mode:o}" for p in found if p.stat().st_mode & 0o077]


@pytest.fixture
def pack(tmp_path: Path) -> dict:
    (tmp_path / "pack").mkdir()
    return write_pack(tmp_path / "pack")


def test_the_library_writes_for_its_owner_alone(tmp_path: Path, pack: dict, generous: None) -> None:
    out = tmp_path / "deep" / "out"
    options = ImportOptions(coordinates=(str(pack["coordinates"]),), phenotypes=str(pack["phenotypes"]))
    import_scans(CohortStore.create(out / "store"), find_scans(pack["path"], options))
    model = save_tiny(out / "model")
    reference = CohortReference(str(out / "store"))
    embed_cohort(reference, out / "embeddings.parquet", EmbedSettings(model=model), workers=0)
    with whole_file(out / "figure.html") as part:
        part.write_text("x")
    # The store's journal is written line by line: inside a folder that nobody else may enter.
    assert [e for e in exposed(out) if not e.startswith("store/")] == []
    assert not (out / "store").stat().st_mode & 0o077 and not out.parent.stat().st_mode & 0o077


def test_commands_write_for_their_owner_alone(tmp_path: Path, pack: dict, generous: None) -> None:
    out, model = tmp_path / "out", save_tiny(tmp_path / "model")
    coordinates = ["--coordinates", str(pack["coordinates"]), "--phenotypes", str(pack["phenotypes"])]
    assert main(["cohort", str(pack["path"]), "-o", str(out / "store"), *coordinates]) == 0
    store = str(out / "store")
    assert main(["embed", store, "-o", str(out / "e.parquet"), "--model", model, "--workers", "0"]) == 0
    assert exposed(out) == []
    assert os.umask(0) == 0, "the account's own umask is back"


def test_pretraining_writes_for_its_owner_alone(tmp_path: Path, generous: None) -> None:
    settings = _settings(tmp_path)
    settings["output"] = str(tmp_path / "out" / "run")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["pretrain", str(tmp_path / "run.yaml")]) == 0
    assert exposed(tmp_path / "out") == []
    assert not list((tmp_path / "out").rglob("*.lock"))


def test_a_folder_that_is_there_keeps_its_permissions(tmp_path: Path, generous: None) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o775)
    private_folder(shared / "a" / "b")
    assert shared.stat().st_mode & 0o777 == 0o775
    assert (shared / "a").stat().st_mode & 0o777 == (shared / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_two_writers_of_one_place_do_not_mix(
    tmp_path: Path, pack: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = save_tiny(tmp_path / "model"), tmp_path / "out"
    coordinates = ["--coordinates", str(pack["coordinates"]), "--phenotypes", str(pack["phenotypes"])]
    assert main(["cohort", str(pack["path"]), "-o", str(tmp_path / "store"), *coordinates]) == 0
    settings = _settings(tmp_path)
    settings["output"] = str(out)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    capsys.readouterr()
    commands = {
        out: [
            ["pretrain", str(tmp_path / "run.yaml")],
            ["evaluate", str(tmp_path / "store"), "-o", str(out), "--model", model],
        ],
        tmp_path / "e.parquet": [
            [
                "embed",
                str(tmp_path / "store"),
                "-o",
                str(tmp_path / "e.parquet"),
                "--model",
                model,
                "--workers",
                "0",
            ]
        ],
        tmp_path / "store": [["cohort", str(pack["path"]), "-o", str(tmp_path / "store"), *coordinates]],
    }
    for place, refused in commands.items():
        with one_writer(place, inside=place.name == "store"):
            for command in refused:
                assert main(command) == 2
                said = capsys.readouterr().err
                assert f"another process is writing to {place.name}; wait until it has ended" in said
    assert main(commands[tmp_path / "e.parquet"][0]) == 0, "free again"


def test_the_lock_of_a_killed_process_is_free_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    place = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match="another process is writing to run"), one_writer(place):
        pass
    with pytest.raises(ConfigError), one_writer(tmp_path / "x" / ".." / "run"):
        pass
    holder.kill()
    holder.communicate()
    with one_writer(place):
        assert place.with_name(".run.lock").exists()
    assert not place.with_name(".run.lock").exists()
