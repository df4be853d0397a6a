"""Licences of everything that takes part in a result: one table, for reports and documentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Licence:
    """One row of the table.

    Parameters
    ----------
    part : str
        What it covers.
    terms : str
        Licence in words.
    """

    part: str
    terms: str


LICENCES: tuple[Licence, ...] = (
    Licence("this code", "Apache-2.0"),
    Licence(
        "A424 atlas (Akiki & Abdallah 2019)",
        "GPL-3 (emergelab), Apache-2.0 as distributed with BrainLM; fetched, not bundled",
    ),
    Licence(
        "default weights, group statistics",
        "trained on ABIDE I (CC BY-NC-SA 3.0) and HCP (open-access data use terms): non-commercial",
    ),
    Licence("published weights", "CC BY-NC-ND 4.0, downloaded on request"),
    Licence(
        "fsaverage5 surfaces, MNI152 template",
        "FreeSurfer licence; MNI (Fonov 2011), as shipped with nilearn",
    ),
    Licence("published effective connectivity (NPI, Nature Methods 2025)", "figures; Apache-2.0"),
    Licence("ABIDE, HCP recordings", "not part of this repository"),
)


def as_markdown() -> str:
    """Return the table as Markdown, as README and documentation hold it."""
    rows = "\n".join(f"| {row.part} | {row.terms} |" for row in LICENCES)
    return f"| part | licence |\n|---|---|\n{rows}\n"
