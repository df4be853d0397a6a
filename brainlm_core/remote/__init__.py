"""The engine on another machine: a Dask worker holds the model, windows go there and arrays come back."""
