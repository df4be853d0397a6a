"""How an input is damaged: hypothesis draws a list of edits, each small and repeatable."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

#: Whole numbers at which sizes, signs and types break.
NUMBERS = (
    0, 1, -1, 2, 3, 127, 128, 255, 256, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**62,
    2**63 - 1, -(2**63), 2**64,
)  # fmt: skip
FLOATS = (
    0.0,
    -0.0,
    1e-40,
    1e-7,
    0.5,
    -2.0,
    1e9,
    1e30,
    1e38,
    1e300,
    float("inf"),
    float("-inf"),
    float("nan"),
)
#: Words that mean something to one parser or another.
WORDS = (
    b"", b" ", b"\n", b"\r\n", b"\t", b",", b";", b"0", b"-1", b"1e999", b"-1e999", b"NaN", b"nan",
    b"Infinity", b"null", b"None", b"true", b"[]", b"{}", b'""', b"[", b"]", b"{", b"}", b'"', b"'", b"#",
    b"%", b"\\", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\xed\xa0\x80", b"\xc3",
    b"\xe2\x80\xa8", b"../../etc/passwd", b"99999999999999999999", b"9" * 5000, b"x" * 5000,
    b"<script>alert(1)</script>", b"1,5", b"1;2", b"=1+1", b"0x10", b"1_000", b"\\ud800", b"&lt;",
    b"<!DOCTYPE x>", b"<!ENTITY a 'b'>", b"!!python/object:os.system", b"&a [*a]", b"*a",
)  # fmt: skip
_TOKEN = re.compile(rb"[A-Za-z_][\w.]*|[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|[^\w\s]")
_JSON = (
    None, True, False, 0, -1, 1, 0.5, 1e308, 10**30, "", " ", "a", "x" * 2000, "\ud800", "a\nb",
    "\x1b[31m", "../../x", [], {}, [[]], [None], {"a": None}, {"": 0}, float("nan"), float("inf"), [0] * 3000,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Part:
    """One stretch of an input that can be damaged without breaking what surrounds it.

    Parameters
    ----------
    content : bytes
        The stretch as it is when healthy.
    wrap : callable
        Puts a damaged stretch back: lengths, checksums and compression around it are right again.
    fields : mapping
        Name to (offset, struct format) of numbers in a fixed place.
    is_json : bool
        Whether values of the tree can be exchanged.
    words : tuple of bytes
        More words of this format.
    """

    content: bytes
    wrap: Callable[[bytes], bytes] = bytes
    fields: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    is_json: bool = False
    words: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Edit:
    """One damage: what, where (modulo the length), how."""

    op: str
    at: int
    value: int
    data: bytes = b""


def edits(part: Part) -> st.SearchStrategy[list[Edit]]:
    """Draw up to five edits that suit a part; none leaves it healthy."""
    ops = ["bit", "byte", "number", "cut", "drop", "repeat", "insert", "word", "word", "word", "swap", "deep"]
    ops += ["field"] * 8 * bool(part.fields) + ["node"] * 16 * part.is_json
    one = st.builds(
        Edit,
        st.sampled_from(ops),
        st.one_of(st.integers(0, 400), st.integers(0, 2**24)),
        st.integers(0, 2**20),
        st.binary(max_size=6),
    )
    return st.lists(one, max_size=5)


def damage(part: Part, todo: list[Edit]) -> bytes:
    """Return the whole input after some edits of one part."""
    data = part.content
    for edit in todo:
        data = _apply(part, data, edit)[: 1 << 22]
    return part.wrap(data)


def _apply(part: Part, data: bytes, edit: Edit) -> bytes:
    if edit.op == "node":
        return _json_node(data, edit)
    if edit.op == "field":
        return _field(part, data, edit)
    if edit.op in ("word", "swap", "deep"):
        return _word(part, data, edit)
    at = edit.at % (len(data) + 1)
    size = 1 + edit.value % 64
    match edit.op:
        case "bit":
            return data[:at] + bytes(b ^ (1 << edit.value % 8) for b in data[at : at + 1]) + data[at + 1 :]
        case "byte":
            return data[:at] + bytes([edit.value % 256]) + data[at + 1 :]
        case "number":
            raw = _packed(("b", "h", "i", "q", "f", "d")[edit.value % 6], edit.value // 6, "<>"[edit.at % 2])
            return data[:at] + raw + data[at + len(raw) :]
        case "cut":
            return data[:at]
        case "drop":
            return data[:at] + data[at + size :]
        case "repeat":
            return data[:at] + data[at : at + size] * (1 + edit.value % 50) + data[at + size :]
        case _:
            return data[:at] + edit.data + data[at:]


def _packed(kind: str, which: int, order: str) -> bytes:
    if kind in "efd":
        try:
            return struct.pack(order + kind, FLOATS[which % len(FLOATS)])
        except OverflowError:
            return struct.pack(order + kind, float("inf"))
    bits = 8 * struct.calcsize(kind)
    value = NUMBERS[which % len(NUMBERS)] % (1 << bits)
    return value.to_bytes(bits // 8, "little" if order == "<" else "big")


def _field(part: Part, data: bytes, edit: Edit) -> bytes:
    names = sorted(part.fields)
    at, kind = part.fields[names[edit.at % len(names)]]
    raw = _packed(kind[-1], edit.value, kind[0])
    return data[:at] + raw + data[at + len(raw) :]


def _word(part: Part, data: bytes, edit: Edit) -> bytes:
    """Exchange, drop or swap one token of a text, or nest deeply in its place."""
    spans = [m.span() for m in _TOKEN.finditer(data[: 1 << 16])]
    if not spans:
        return data
    a, b = spans[edit.at % len(spans)]
    if edit.op == "deep":
        brackets = (b"[", b'{"a":', b"(", b"<a>")[edit.value % 4]
        return data[:a] + brackets * (10 ** (1 + edit.value % 5)) + data[b:]
    if edit.op == "swap":
        c, d = spans[edit.value % len(spans)]
        (a, b), (c, d) = sorted([(a, b), (c, d)])
        return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
    words = (*WORDS, *part.words, *(str(n).encode() for n in NUMBERS), data[spans[0][0] : spans[0][1]])
    return data[:a] + words[edit.value % len(words)] + data[b:]


def _json_node(data: bytes, edit: Edit) -> bytes:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places: list[tuple[Any, Any]] = []
    _collect(tree, places)
    if not places:
        return json.dumps(_JSON[edit.value % len(_JSON)]).encode()
    where, key = places[edit.at % len(places)]
    choice = edit.value % (len(_JSON) + 4)
    if choice < len(_JSON):
        where[key] = _JSON[choice]
    elif choice == len(_JSON):
        del where[key]
    elif choice == len(_JSON) + 1:
        other, name = places[edit.value % len(places)]
        where[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
    elif choice == len(_JSON) + 2:
        where[key] = [where[key]]
    else:
        where[key] = str(where[key])
    return json.dumps(tree).encode()


def _keys(node: Any) -> Any:
    return node if isinstance(node, dict) else range(len(node))


def _collect(node: Any, places: list[tuple[Any, Any]]) -> None:
    if len(places) > 3000 or not isinstance(node, dict | list):
        return
    for key in list(_keys(node)):
        places.append((node, key))
        _collect(node[key], places)
