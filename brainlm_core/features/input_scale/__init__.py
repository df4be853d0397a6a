"""Which scaling of the input a model needs."""
