"""``python -m brainlm_core.bench._training_memory SIDE QUICK``: print the peak of a training step in MB."""

from __future__ import annotations

import sys

from brainlm_core.bench._model_memory import memory_mb


def main(side: str, quick: bool) -> None:
    """Run one training step and print the growth of the peak since the imports."""
    import torch

    from brainlm_core.bench import training

    torch.randn(512, 512) @ torch.randn(512, 512)
    before = memory_mb("VmRSS")
    candidates, _ = training.steppers(quick)
    candidates[side]()
    sys.stdout.write(f"{memory_mb('VmHWM') - before:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1")
