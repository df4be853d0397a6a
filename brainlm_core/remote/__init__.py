"""The engine on another machine: a Dask worker holds the model, windows go there and arrays come back.

Calls go through the scheduler (:meth:`distributed.Client.run`) and are no Dask tasks: the result of a task
lies in the worker's store, which may go to its disk, and nothing of a visitor's scan may.
"""
