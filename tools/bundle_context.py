"""Bundle a trained context network: its gains alone; the process lies beside it, in weights/default.

    python tools/bundle_context.py runs/context/model

The gains were trained against a process that never saw the people who were held back. What is bundled reads
against the default's process, which was fitted on everybody.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from brainlm_core.model.checkpoints import CONFIG_NAME, SAFETENSORS_NAME, load_folder, save_tensors  # noqa: E402
from brainlm_core.model.context.model import ContextModel  # noqa: E402


def main() -> None:
    """Write config.json and model.safetensors into assets/weights/context."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="model/ of a run of the context family")
    model = load_folder(parser.parse_args().model)
    if not isinstance(model, ContextModel):
        raise SystemExit("these weights are not of the context family")
    out = ROOT / "assets" / "weights" / "context"
    out.mkdir(parents=True, exist_ok=True)
    gains = {k: v.contiguous() for k, v in model.state_dict().items() if k.startswith("inferences.")}
    save_tensors(gains, out / SAFETENSORS_NAME)
    config = replace(model.config, process_folder="default")
    (out / CONFIG_NAME).write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
