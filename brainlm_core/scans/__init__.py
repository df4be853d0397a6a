"""Scan intake: files in, recordings out."""
