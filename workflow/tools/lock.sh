#!/usr/bin/env bash
# Renew requirements.lock, one for Python 3.11 to 3.13 and every platform, and envs/ from it.
# Versions that still fit are kept; remove the lock first to take the newest of all.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin="${VENV:-.venv}/bin"
# --no-header: it would name the machine's package index.
"$bin/uv" pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
  --generate-hashes --no-header --no-emit-index-url \
  --group workflow --group geo --group tensorflow --group dev \
  -o requirements.lock pyproject.toml
"$bin/python" workflow/tools/make_envs.py
