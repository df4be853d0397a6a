"""Features do not know each other, in the core or in the dashboard; what two need lies below both."""

from __future__ import annotations

import grimp
import pytest

#: Feature to the beginnings of its modules' names.
DASHBOARD = {
    "scan": ("pages.scan", "app.drop_zone", "app.charts.signals"),
    "networks": ("pages.networks", "app.networks_", "app.charts.attention", "app.charts.network_tables"),
    "forecast": ("pages.forecast", "app.forecast_"),
    "perturb": ("pages.perturb", "app.perturb_"),
    "embeddings": (
        *("pages.embeddings", "app.embeddings_", "app.points_view"),
        *("app.charts.decode", "app.charts.attribution"),
    ),
    "model": ("pages.model", "app.model_"),
}
_ANALYSES = {
    "networks": ("networks", "network_"),
    "forecast": ("forecast",),
    "perturb": ("perturb", "scenario"),
    "reconstruct": ("reconstruct",),
    "embedding": ("embed", "decode", "attribute", "cohort_compare"),
    "gain": ("scale_doctor",),
    "verify": ("verify",),
}
CORE = {key: tuple(f"brainlm_core.analyses.{s}" for s in starts) for key, starts in _ANALYSES.items()}
#: What asks features, because it puts them together: the evaluation and the report.
GATHERS = {
    "brainlm_core.analyses.evaluate",
    "brainlm_core.analyses.evaluate_context",
    "brainlm_core.analyses.evaluate_decode",
    "app.report_work",
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "app", "brainlm_core", "pages", exclude_type_checking_imports=False, cache_dir=None
    )


def feature(module: str, features: dict[str, tuple[str, ...]]) -> str | None:
    return next((key for key, starts in features.items() if module.startswith(starts)), None)


def crossings(graph: grimp.ImportGraph, features: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    """Return imports of one feature's modules by another feature, or by what belongs to none."""
    package = "brainlm_core.analyses." if features is CORE else ("app.", "pages.")
    return {
        (importer, imported)
        for importer in graph.modules
        if importer.startswith(package)
        for imported in graph.find_modules_directly_imported_by(importer)
        if feature(imported, features) not in (None, feature(importer, features))
    }


@pytest.mark.parametrize("features", [DASHBOARD, CORE], ids=["dashboard", "core"])
def test_no_feature_imports_another(graph: grimp.ImportGraph, features: dict[str, tuple[str, ...]]) -> None:
    found = {pair for pair in crossings(graph, features) if pair[0] not in GATHERS}
    assert not found, found


@pytest.mark.parametrize("features", [DASHBOARD, CORE], ids=["dashboard", "core"])
def test_every_beginning_names_a_module(
    graph: grimp.ImportGraph, features: dict[str, tuple[str, ...]]
) -> None:
    for starts in features.values():
        for start in starts:
            assert any(module.startswith(start) for module in graph.modules), start
