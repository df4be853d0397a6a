"""Reconstruction of hidden values."""
