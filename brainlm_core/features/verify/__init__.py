"""Verification against reference outputs."""
