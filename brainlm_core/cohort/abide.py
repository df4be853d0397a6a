"""A public cohort on request: ABIDE I of the Preprocessed Connectomes Project, through nilearn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import DownloadError, ScanError
from brainlm_core.base.recording import Provenance, Recording, Step
from brainlm_core.cohort.importing import Found, ScanToAdd
from brainlm_core.cohort.store import source_key

Progress = Callable[[float, str], None]

NAME = "ABIDE I (PCP)"
#: Scans per download call: after each one progress is told, and a stop is heard.
BATCH = 10
#: Repetition time in s by site; the study's own tables do not hold it.
TR_S = {
    "CALTECH": 2.0, "CMU": 2.0, "KKI": 2.5, "LEUVEN_1": 1.667, "LEUVEN_2": 1.667, "MAX_MUN": 3.0, "NYU": 2.0,
    "OHSU": 2.5, "OLIN": 1.5, "PITT": 1.5, "SBL": 2.2, "SDSU": 2.0, "STANFORD": 2.0, "TRINITY": 2.0,
    "UCLA_1": 3.0, "UCLA_2": 3.0, "UM_1": 2.0, "UM_2": 2.0, "USM": 2.0, "YALE": 2.0,
}  # fmt: skip


def find_abide(n: int, folder: Path, progress: Progress | None = None) -> Found:
    """Download ``n`` scans (signals of the CC200 regions, unfiltered, no global-signal regression).

    Parameters
    ----------
    n : int
        At most 871 pass the study's own quality check.
    folder : Path
        Where nilearn keeps what it has downloaded; a second call downloads only what is missing.
    progress : callable, optional

    Returns
    -------
    Found
        For :func:`brainlm_core.cohort.importing.import_scans`.

    Raises
    ------
    DownloadError
        If the study cannot be reached now; what was downloaded stays.
    """
    got: Any = None
    for wanted in (*range(BATCH, n, BATCH), n):
        if progress is not None:
            progress((wanted - 1) / n, f"Downloading ABIDE: {min(wanted, n)} of {n} scans")
        got = _fetch(wanted, folder)
    table = pd.DataFrame(got["phenotypic"]).reset_index(drop=True)
    scans, people = [], []
    for row, signals in enumerate(got["rois_cc200"]):
        about = table.iloc[row]
        site = _text(about["SITE_ID"])
        name = f"{site}_{int(about['SUB_ID'])}"
        values = np.asarray(signals, dtype=np.float32)
        key = source_key("abide-pcp", name, values)
        load = partial(_recording, name, site, values)
        scans.append(ScanToAdd(name, str(int(about["SUB_ID"])), site, name, key, load))
        people.append(
            {
                "recording_id": name,
                "site": site,
                "age_years": float(about["AGE_AT_SCAN"]),
                "sex": {1: "male", 2: "female"}.get(int(about["SEX"]), ""),
                "diagnosis": {1: "autism", 2: "control"}.get(int(about["DX_GROUP"]), ""),
                "mean_fd_mm": float(about["func_mean_fd"]),
            }
        )
    return Found(NAME, scans, pd.DataFrame(people), NAME)


def _fetch(n: int, folder: Path) -> Any:
    try:
        from nilearn.datasets import fetch_abide_pcp

        return fetch_abide_pcp(
            data_dir=str(folder),
            n_subjects=n,
            pipeline="cpac",
            band_pass_filtering=False,
            global_signal_regression=False,
            derivatives=["rois_cc200"],
            quality_checked=True,
            verbose=0,
        )
    except Exception as error:  # nilearn passes on whatever its HTTP library raises
        raise DownloadError(
            "the ABIDE scans cannot be downloaded now",
            "check the connection and try again: what was downloaded stays",
        ) from error


def _recording(name: str, site: str, values: NDArray[np.float32]) -> Recording:
    from brainlm_core.scans.atlases import atlas_parcellation
    from brainlm_core.scans.quality import assess

    parcels = atlas_parcellation("cc200")
    if values.ndim != 2 or values.shape[1] != parcels.n_parcels or not np.isfinite(values).all():
        raise ScanError(f"{name} does not hold {parcels.n_parcels} finite signals", "leave it out")
    if site not in TR_S:
        raise ScanError(f"nothing says the repetition time of the site {site}", "leave it out")
    steps = (Step("download", {"study": "ABIDE I", "pipeline": "cpac", "filtered": False}),)
    made = Provenance(name, None, steps, atlas="CC200 (Craddock 2012), averaged by the PCP")
    return assess(Recording(values.T, TR_S[site], parcels, made))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
