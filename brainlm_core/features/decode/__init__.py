"""Decoding of a person's properties from embeddings and baselines."""
