"""What the columns of a cohort are called in pictures and sentences."""

from __future__ import annotations

#: Columns in words.
WORDS = {
    "site": "Site",
    "age_years": "Age (years)",
    "sex": "Sex",
    "diagnosis": "Diagnosis",
    "group": "Group",
    "coffee_cups": "Cups of coffee a day",
    "full_iq": "Full IQ",
    "eyes": "Eyes",
    "tr_s": "Repetition time (s)",
    "n_volumes": "Volumes",
    "duration_s": "Duration (s)",
    "n_windows": "Windows averaged",
    "mean_fd_mm": "Mean head motion (mm)",
    "mean_autocorrelation": "Mean lag-1 autocorrelation",
    "mean_amplitude": "Mean amplitude",
    "recording_id": "Recording",
    "subject_id": "Person",
    "trust": "Trust: neighbours kept by the map",
}


def words(column: str) -> str:
    """Return a column's name as a reader expects it."""
    return WORDS.get(column, column.replace("_", " ").capitalize())
