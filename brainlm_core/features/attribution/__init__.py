"""Which parcels and moments move a read-out of an embedding."""
