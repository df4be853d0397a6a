"""``python -m brainlm_core`` is ``brainlm``."""

from brainlm_core.cli import main

raise SystemExit(main())
