"""Embeddings: a cohort on one map, and what in it can be believed."""

from app.embeddings.page import main

main()
