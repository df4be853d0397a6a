"""The context family: a kernel attention network that reads the recording beside its window."""
