"""Perturbation in silico."""
