"""Functional networks from attention."""
