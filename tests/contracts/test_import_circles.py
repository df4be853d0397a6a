"""No module imports itself by way of others; imports in functions and for types count like any other."""

from __future__ import annotations

import grimp
import pytest


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Return the groups of modules that reach each other, as Tarjan (1972) finds them."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        stack.append(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported not in number:
                visit(imported)
            if imported in stack:
                low[module] = min(low[module], low[imported])
        if low[module] == number[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph.modules):
        if module not in number:
            visit(module)
    return found


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "app", "brainlm_core", "pages", exclude_type_checking_imports=False, cache_dir=None
    )


def test_there_is_no_import_circle(graph: grimp.ImportGraph) -> None:
    assert len(graph.modules) > 300
    assert circles(graph) == []


def test_a_circle_would_be_seen() -> None:
    made = grimp.ImportGraph()
    for importer, imported in ("ab", "bc", "ca", "cd"):
        made.add_import(importer=importer, imported=imported)
    assert circles(made) == [["a", "b", "c"]]
