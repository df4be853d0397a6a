"""Every hostile file: one sentence, little memory, soon."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hostile import arrays, surfaces, texts
from tests.hostile.measure import Readers

ATTACKS = {**arrays.ATTACKS, **surfaces.ATTACKS, **texts.ATTACKS}
#: What the readers may take on top, in MB, and how long, in s.
MAX_MB, MAX_SECONDS = 300, 15


@pytest.mark.parametrize("title", ATTACKS)
def test_one_sentence_little_memory_soon(title: str, tmp_path: Path, readers: Readers) -> None:
    make, says = ATTACKS[title]
    cost = readers.read(make(tmp_path))
    assert cost.kind == "BrainLMError", cost
    assert re.search(says, cost.sentence), cost.sentence
    assert str(tmp_path) not in cost.sentence and "; " in cost.sentence and cost.sentence.isprintable()
    assert cost.peak_mb <= MAX_MB, cost
    assert cost.seconds <= MAX_SECONDS, cost
