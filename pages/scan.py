"""Scan: a recording comes in, moves on the brain, and is judged."""

from app.scan.page import main

main()
