"""Pretraining: configuration, data, masks, the closed-form prior, and the training loop."""
