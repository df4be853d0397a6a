#!/usr/bin/env bash
# Find or install the Chromium that the browser tests need; say so in words where neither works.
set -u
venv=${VENV:-.venv}
found() {
  [[ -n ${BROWSER_PATH:-} && -x ${BROWSER_PATH:-} ]] && return 0
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null && return 0
  done
  "$venv/bin/python" - <<'PY' 2>/dev/null
import pathlib, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    sys.exit(not pathlib.Path(p.chromium.executable_path).exists())
PY
}
found && exit 0
echo "Installing Chromium for the browser tests …"
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1
fi
found && exit 0
timeout 300 "$venv/bin/python" -m playwright install chromium >/dev/null 2>&1
found && exit 0
echo "No Chromium could be installed here, so the browser tests will be skipped." >&2
echo "Install chromium or Google Chrome, or set BROWSER_PATH, and run 'make test' again." >&2
exit 0
