#!/usr/bin/env bash
# Make (or bring up to date) an isolated environment. Usage: setup_env.sh VENV REQUIREMENTS
set -euo pipefail
venv=$1 requirements=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"

python=${PYTHON:-}
if [[ -z $python ]]; then
  for candidate in python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
if [[ -z $python ]]; then
  echo "error: no Python 3.11 or newer was found; install one, or name it with PYTHON=/path/to/python" >&2
  exit 2
fi

stamp=$venv/.stamp-$(basename "$requirements" .txt)
wanted=$(cat requirements*.txt pyproject.toml | sha256sum | cut -d' ' -f1)
if [[ -f $stamp && $(cat "$stamp") == "$wanted" ]]; then
  exit 0
fi

echo "Setting up $venv (about two minutes and 2 GB the first time) …"
[[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

# The default Linux build of torch brings several GB of CUDA along. Without an NVIDIA GPU the CPU
# build is asked for first; where its index cannot be reached, the ordinary one serves.
torch=$(grep -E '^torch==' requirements.txt)
if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
  if [[ $(uname -s) == Linux ]] && ! command -v nvidia-smi >/dev/null; then
    pip install --timeout 10 --retries 0 "$torch" --index-url https://download.pytorch.org/whl/cpu 2>/dev/null ||
      pip install "$torch"
  else
    pip install "$torch"
  fi
fi
pip install -r "$requirements"
pip install --no-deps -e .
echo "$wanted" >"$stamp"
