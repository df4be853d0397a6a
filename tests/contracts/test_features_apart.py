"""Features do not know each other, in the core or in the dashboard; what two need lies below both."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

#: Folders of features, and whom some may ask all the same, since they explain or gather the answers.
CORE = ("networks", "forecast", "perturb", "reconstruct", "embedding", "decode", "input_scale", "verify")
GATHERS = {"attribution": {"decode", "embedding"}, "evaluate": set(CORE)}
DASHBOARD = ("scan", "networks", "forecast", "perturb", "embeddings", "model")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "app", "brainlm_core", "pages", exclude_type_checking_imports=False, cache_dir=None
    )


def feature(module: str, package: str) -> str:
    """Return the folder of a feature that a module lies in; empty for what belongs to none."""
    return module.removeprefix(package + ".").split(".")[0] if module.startswith(package + ".") else ""


def crossings(graph: grimp.ImportGraph, package: str, features: set[str]) -> set[tuple[str, str]]:
    """Return imports of one feature's modules by another feature, or by what features share."""
    return {
        (importer, imported)
        for importer in graph.modules
        if importer.startswith(package + ".")
        for imported in graph.find_modules_directly_imported_by(importer)
        if feature(imported, package) in features
        and feature(importer, package) not in ("", feature(imported, package))
        and feature(imported, package) not in GATHERS.get(feature(importer, package), set())
    }


def test_no_feature_of_the_core_imports_another(graph: grimp.ImportGraph) -> None:
    assert not crossings(graph, "brainlm_core.features", {*CORE, *GATHERS})


def test_no_page_imports_another(graph: grimp.ImportGraph) -> None:
    found = crossings(graph, "app", set(DASHBOARD))
    assert not {pair for pair in found if not pair[0].startswith("app.report.")}, found


def test_every_folder_is_known_and_every_page_is_two_lines(root: Path) -> None:
    known = {*CORE, *GATHERS, "shared"}
    folders = {p.parent.name for p in (root / "brainlm_core/features").glob("*/__init__.py")}
    assert folders == known
    for page in (root / "pages").glob("*.py"):
        if page.name != "__init__.py":
            lines = [line for line in page.read_text("utf-8").splitlines()[1:] if line]
            assert lines == [f"from app.{page.stem}.page import main", "main()"]
