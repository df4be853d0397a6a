"""Motion files of every program give one framewise displacement, and what is unknown is never 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.confounds import read_confounds, select_regressors
from brainlm_core.scans.motion import AXES

N = 60


@pytest.fixture(scope="module")
def six() -> np.ndarray:
    """Translations in mm, rotations in rad, as a calm head has them."""
    rng = np.random.default_rng(3)
    steps = rng.normal(0, [0.03, 0.03, 0.03, 6e-4, 6e-4, 6e-4], (N, 6))
    return steps.cumsum(axis=0)


@pytest.fixture(scope="module")
def displacement(six: np.ndarray) -> np.ndarray:
    change = np.abs(np.diff(six, axis=0, prepend=six[:1]))
    return change[:, :3].sum(1) + 50 * change[:, 3:].sum(1)


def degrees(six: np.ndarray) -> np.ndarray:
    return np.column_stack([six[:, :3], np.rad2deg(six[:, 3:])])


def turned(six: np.ndarray) -> np.ndarray:
    return six[:, [3, 4, 5, 0, 1, 2]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rp_rest.txt", "spm"),
        ("rp_aSub01.csv", "spm"),
        ("rest_mcf.nii.gz.par", "fsl"),
        ("dfile.rest.1D", "afni"),
        ("dfile_rall.1D", "afni nine"),
        ("Movement_Regressors.txt", "hcp"),
        ("confounds.tsv", "spm"),
        ("motion.txt", "fsl"),
    ],
)
def test_every_program_without_a_header(
    tmp_path: Path, six: np.ndarray, displacement: np.ndarray, name: str, kind: str
) -> None:
    deg = degrees(six)
    values = {
        "spm": six,
        "fsl": turned(six),
        "afni": turned(deg),
        "afni nine": np.column_stack([np.arange(N), turned(deg), np.ones((N, 2))]),
        "hcp": np.column_stack([deg, np.diff(deg, axis=0, prepend=deg[:1])]),
    }[kind]
    separator = "," if name.endswith("csv") else "  "
    np.savetxt(tmp_path / name, values, fmt="%.8e", delimiter=separator, header="roll pitch yaw")
    table = read_confounds(tmp_path / name, N)
    assert table.fd_mm is not None and "rotations" in table.notices[0]
    np.testing.assert_allclose(table.fd_mm, displacement, rtol=1e-3, atol=1e-5)
    assert select_regressors(table, ("motion",)).shape == (N, 24)


@pytest.mark.parametrize("labels", [AXES, ("X", "Y", "Z", "RotX", "RotY", "RotZ")])
def test_named_rotations_in_degrees_are_known_by_their_size(
    tmp_path: Path, six: np.ndarray, displacement: np.ndarray, labels: tuple[str, ...]
) -> None:
    for values, said in ((six, False), (degrees(six), True)):
        pd.DataFrame(values, columns=list(labels)).to_csv(tmp_path / "c.tsv", sep="\t", index=False)
        table = read_confounds(tmp_path / "c.tsv", N)
        assert table.fd_mm is not None and bool(table.notices) == said
        np.testing.assert_allclose(table.fd_mm, displacement, rtol=1e-3, atol=1e-5)


def test_unnamed_columns_of_one_size_are_asked_about(tmp_path: Path, six: np.ndarray) -> None:
    np.savetxt(tmp_path / "motion.txt", degrees(six))
    with pytest.raises(ScanError, match=r"which columns turn.*rp_\*\.txt"):
        read_confounds(tmp_path / "motion.txt", N)


def test_displacement_that_is_unknown_is_never_zero(tmp_path: Path, six: np.ndarray) -> None:
    def fd_of(frame: pd.DataFrame) -> np.ndarray | None:
        frame.to_csv(tmp_path / "c.tsv", sep="\t", index=False, na_rep="n/a")
        return read_confounds(tmp_path / "c.tsv", N).fd_mm

    gone = pd.DataFrame({"framewise_displacement": np.full(N, np.nan), "csf": np.arange(N)})
    assert fd_of(gone) is None
    moving = gone.join(pd.DataFrame(six, columns=list(AXES)))
    computed = fd_of(moving)
    assert computed is not None and computed[1:].min() > 0
    moving["framewise_displacement"] = 0.0  # zero all along while the head moves
    np.testing.assert_allclose(fd_of(moving), computed)
    moving["framewise_displacement"] = np.r_[np.nan, np.full(N - 1, 0.2)]
    moving.loc[5, "framewise_displacement"] = np.nan
    given = fd_of(moving)
    assert given is not None and given[0] == 0 and np.isnan(given[5]) and given[6] == pytest.approx(0.2)


def test_old_fmriprep_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [
        "CSF",
        "WhiteMatter",
        "GlobalSignal",
        "FramewiseDisplacement",
        "X",
        "Y",
        "Z",
        "RotX",
        "RotY",
        "RotZ",
    ]
    names += ["aCompCor00", "aCompCor01", "Cosine00"]
    frame = pd.DataFrame(rng.normal(0, 0.01, (N, len(names))), columns=names)
    frame.to_csv(tmp_path / "sub-1_bold_confounds.tsv", sep="\t", index=False)
    table = read_confounds(tmp_path / "sub-1_bold_confounds.tsv", N)
    chosen = select_regressors(table, ("motion", "wm_csf", "global_signal", "compcor", "high_pass"))
    assert chosen.shape == (N, 24 + 2 + 1 + 2 + 1) and table.fd_mm is not None
