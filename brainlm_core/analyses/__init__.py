"""Analyses: one question each, one result each."""
