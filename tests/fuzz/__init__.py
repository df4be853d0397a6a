"""Damaged and hostile inputs, made at random, for every reader and parser: ``python -m tests.fuzz``."""
