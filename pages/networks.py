"""Networks: which networks the model's attention draws on the cortex, beside what needs no model."""

from app.networks.page import main

main()
