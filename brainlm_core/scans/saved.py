"""Recordings that this program saved before (``rec.npz``)."""

from __future__ import annotations

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.scans.types import ReadRequest


def read_saved(request: ReadRequest) -> Recording:
    """Load a saved recording; it keeps the provenance it was saved with.

    Raises
    ------
    ScanError
        If it is damaged, or options for raw scans are given with it.
    """
    source = request.source
    if request.coordinates is not None or request.atlas is not None:
        raise ScanError(
            f"{source.name} is a saved recording and already has its parcels",
            "leave out --atlas and --coordinates, or give the original scan",
        )
    request.progress(0.1, "reading the recording")
    try:
        return Recording.load(source.path)
    except ScanError as error:  # the temporary file of an upload must not show
        raise ScanError(error.what.replace(source.path.name, source.name), error.fix) from error
