"""Model: what it fills in of what it does not see, what it costs, what its card says, where it ends."""

from app.model.page import main

main()
