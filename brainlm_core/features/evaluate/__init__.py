"""Evaluation of a model on people that it never saw."""
