"""Names of devices and precisions, apart from torch so that a command line starts fast."""

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
