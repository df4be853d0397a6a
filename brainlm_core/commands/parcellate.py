"""Read a scan of any supported kind and save its parcel signals."""

from __future__ import annotations

import argparse
from pathlib import Path

from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.scan_arguments import add_scan_arguments, load_recording
from brainlm_core.scans.quality import parcels_covered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="REC.npz", help="where to save the recording"
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Parcellate, save, and say how good the recording is."""
    recording = load_recording(args)
    output = Path(args.output)
    recording.save(output)
    quality = recording.quality
    covered = recording.n_parcels if quality is None else parcels_covered(quality)
    verdict = "unknown" if quality is None else quality.verdict
    reasons = [] if quality is None else list(quality.reasons)
    provenance = recording.provenance
    facts = {
        "n_parcels": recording.n_parcels,
        "n_timepoints": recording.n_timepoints,
        "tr_s": recording.tr_s,
        "atlas": provenance.atlas,
        "atlas_is_approximation": provenance.atlas_is_approximation,
        "parcels_covered": covered,
        "verdict": verdict,
        "reasons": reasons,
        "notices": list(recording.notices),
        "template_overlap": None if quality is None else quality.template_overlap,
        "simulated": provenance.simulated,
        "names_matched": None if recording.columns is None else recording.columns.summary(),
        "output": str(output),
    }
    told: list[str] = []
    if (freedom := recording.freedom_left) is not None:
        facts["degrees_of_freedom_left"] = freedom[0]
        told.append(f"Degrees of freedom left by cleaning: {freedom[0]} of {freedom[1]}.")
    lines = [
        f"{provenance.source_name}: {recording.n_parcels} parcels × {recording.n_timepoints} volumes, "
        f"TR {recording.tr_s:g} s, {covered} parcels covered, verdict: {verdict}",
        *(f"  {line}" for line in (*reasons, *told)),
        *(f"  note: {notice}" for notice in recording.notices),
        f"saved to {output}",
    ]
    return CommandResult(objects=[facts], text="\n".join(lines))
