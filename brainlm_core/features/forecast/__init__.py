"""Forecasts of brain states and their race against baselines."""
