"""The ``brainlm`` command line: the same analyses as the pages, for scripts."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from brainlm_core import __version__
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.writing import private_files
from brainlm_core.command_line import COMMANDS, CommandResult


class _Parser(argparse.ArgumentParser):
    """Argument errors in the house form, ``error: what; what to do``, exit code 2."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)


def _module(name: str) -> ModuleType:
    return importlib.import_module(COMMANDS[name])


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; with ``only`` just that command's module is imported (fast start)."""
    parser = _Parser(prog="brainlm", description="BrainLM Explorer on the command line.")
    parser.add_argument("--version", action="version", version=f"brainlm-explorer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name in COMMANDS:
        if only is not None and name != only:
            commands.add_parser(name)
            continue
        module = _module(name)
        summary = (module.__doc__ or "").strip().splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _finite(value: Any) -> Any:
    """Replace NaN and infinities by null: JSON has no words for them."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (0 fine, 1 answer is no, 2 wrong input)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    only = arguments[0] if arguments and arguments[0] in COMMANDS else None
    args = build_parser(only).parse_args(arguments)
    try:
        with private_files():
            result: CommandResult = _module(args.command).run(args)
        if args.json:
            for item in result.objects:
                print(json.dumps(_finite(item), default=_jsonable, allow_nan=False))
        elif result.text:
            print(result.text)
        sys.stdout.flush()
    except BrainLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `brainlm … | head` is fine
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("error: interrupted; run the command again", file=sys.stderr)
        return 130
    return result.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
