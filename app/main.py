"""Entry of the dashboard: ``streamlit run app/main.py``.

Streamlit takes this file twice: as a module, for the server's own rules (``app``), and in every run as
the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if sys.path[0] != str(ROOT):  # before the folder that the command was given in, and before app/ itself
    sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    from app.shell.frame import draw

    draw()
else:
    from streamlit.starlette import App

    from app.shell.server import middleware, while_it_runs

    app = App(__file__, middleware=middleware(), lifespan=while_it_runs)
