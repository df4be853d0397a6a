"""The page's one script: the brain view's modules and ``report.js``, put together without a bundler.

A file that was opened from disk may not import others, so each module becomes a function that gives its
exports. The modules are this project's own and keep to the few forms that are understood here; anything
else is refused, so a form that would be lost cannot pass unnoticed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from brainlm_core import viz
from brainlm_core.base.errors import ConfigError

_FOLDERS = (Path(__file__).parent, Path(viz.__file__).parent / "frontend")
_ENTRY = "report.js"
_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([\w.]+)";\s*?$', re.MULTILINE)
_EXPORTED = re.compile(r"^export\s+((?:async\s+)?(?:function|class)|const)\s+(\w+)", re.MULTILINE)
_LIST = re.compile(r"^export\s*\{([^}]*)\};\s*?$", re.MULTILINE)
_LEFT_OVER = re.compile(r"^\s*(?:import\b(?!\.meta)|export\b)|</script", re.MULTILINE)


@cache
def page_script() -> str:
    """Return the script, modules before those that need them.

    Raises
    ------
    ConfigError
        If a module uses a form of import or export that is not understood, or modules need each other
        in a circle.
    """
    done: dict[str, str] = {}
    _add(_ENTRY, done, ())
    return "const modules = {};\n" + "\n".join(done.values())


def _add(name: str, done: dict[str, str], path: tuple[str, ...]) -> None:
    if name in done:
        return
    if name in path:
        raise ConfigError(f"the modules {' → '.join((*path, name))} need each other", "break the circle")
    text = _source(name)
    for _, needed in _IMPORT.findall(text):
        _add(needed, done, (*path, name))
    done[name] = _wrapped(name, text)


def _source(name: str) -> str:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise ConfigError(f"the drawing module {name} is missing", "reinstall BrainLM Explorer")


def _wrapped(name: str, text: str) -> str:
    given = [match[1] for match in _EXPORTED.findall(text)]
    for names in _LIST.findall(text):
        given += [n.strip() for n in names.split(",") if n.strip()]
    text = _IMPORT.sub(lambda m: f"const {{{m[1]}}} = modules[{m[2]!r}];", text)
    text = _EXPORTED.sub(r"\1 \2", _LIST.sub("", text))
    left = _LEFT_OVER.search(text)
    if left or any(not n.isidentifier() for n in given):
        raise ConfigError(
            f"{name} uses a form of import or export that reports cannot carry",
            "use `import { a } from` and named exports",
        )
    return f"// {name}\nmodules[{name!r}] = (() => {{\n{text}\nreturn {{ {', '.join(given)} }};\n}})();"
