"""Embeddings of a cohort: maps, neighbours, what they use."""
