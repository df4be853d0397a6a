"""A model that answers: weights, devices, windows, batches, the engine."""
