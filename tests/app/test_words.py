from __future__ import annotations

import pytest

from app.shell.words import capital, duration, typeset


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the file is empty", "The file is empty."),
        ("sub-01_bold.nii.gz is cut short", "sub-01_bold.nii.gz is cut short."),
        ("scan.nii holds 5 volumes", "scan.nii holds 5 volumes."),
        ("give TR in seconds (--tr)", "Give TR in seconds."),
        ("is it in MNI space?", "Is it in MNI space?"),
    ],
)
def test_error_texts_become_sentences(text: str, shown: str) -> None:
    assert capital(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (59.4, "59 s"), (216, "3 min 36 s"), (3600, "60 min 00 s")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds).replace("\u202f", " ").replace("\u00a0", " ") == shown


def test_percent_signs_keep_their_number_and_minus_signs_are_true() -> None:
    assert typeset("88 % of 5% and 0.5% more; %s") == "88\u202f% of 5\u202f% and 0.5\u202f% more; %s"
    assert typeset("-0.25 (-1 to 2) in sub-01, 5-fold") == "\u22120.25 (\u22121 to 2) in sub-01, 5-fold"
