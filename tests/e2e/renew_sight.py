"""Take the reference pictures of all pages anew: ``python -m tests.e2e.renew_sight [NAME …]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.browser_tools import ROOT, open_browser, start_streamlit
from tests.e2e import sight_pictures as pictures
from tests.e2e import sight_tour as tour


def main() -> None:
    """Take all references, or those whose names begin with one of the words given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="how the names of the pictures begin (default: all)")
    parser.add_argument("--full", type=Path, help="keep the pictures in full size in this folder, too")
    args = parser.parse_args()
    with start_streamlit(ROOT / "app" / "main.py") as app, open_browser() as browser:
        names = tuple(args.names or [""])
        stops = tuple(
            s for s in tour.STOPS if any(f"{s.name}-".startswith(n) or n.startswith(s.name) for n in names)
        )
        for look in tour.looks(browser, app.url, stops):
            for problem in (*look.too_wide, *look.findings):
                sys.stdout.write(f"{look.name}: {problem}\n")
            if look.picture is None or not look.name.startswith(names):
                continue
            if args.full is not None:
                args.full.mkdir(parents=True, exist_ok=True)
                look.picture.save(args.full / f"{look.name}.png")
            size = pictures.save_reference(look.name, look.picture)
            sys.stdout.write(f"{look.name}: {size} bytes\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
