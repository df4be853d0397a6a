"""Cohorts: a store of recordings that survives everything, and the embeddings that a model makes of it."""
