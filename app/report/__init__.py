"""The report of the recording in hand."""
