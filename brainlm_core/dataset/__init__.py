"""A whole dataset: the commands over every run of it, BIDS derivatives out, then the group."""
