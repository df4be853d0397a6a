"""The option --context: on every command where it changes an answer, on no other, and without a clash."""

from __future__ import annotations

import pytest

from brainlm_core.cli import main


@pytest.mark.parametrize("command", ["networks", "reconstruct", "perturb", "evaluate", "report", "bids"])
def test_commands_that_read_windows_offer_what_is_read_beside(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--context {recording,window}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["forecast", "embed"])
def test_commands_whose_answer_would_not_change_do_not(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "{recording,window}" not in capsys.readouterr().out
