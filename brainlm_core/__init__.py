"""BrainLM core: a scan in, parcel signals, one model pass, honest analyses out."""

__version__ = "0.1.0"
