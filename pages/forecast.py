"""Forecast: the next seconds of the brain, beside what came and beside simple methods."""

from app.forecast.page import main

main()
