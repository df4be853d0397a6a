"""Perturb: drag a slider, watch what the model expects to go along."""

from app.perturb.page import main

main()
