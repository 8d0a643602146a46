#!/usr/bin/env bash
# Make the virtual environment of requirements.lock, unless it is there already.
# What the lock holds decides, not its time: a checkout makes every file new.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${VENV:-.venv}"
made="$venv/.made-from"

if [ -f "$made" ]; then
  cmp -s requirements.lock "$made" && exit 0
  echo "$venv was made from another lock, or not to its end: it is made anew"
elif [ -e "$venv" ]; then
  echo "$venv was not made by \`make env\`: move it away, or give another place, as in" \
    "\`make env VENV=.venv-roads\`." >&2
  exit 1
fi

python="$(bash workflow/tools/find_python.sh)"
echo "making $venv with $("$python" --version) ($python)"
rm -rf "$venv"
"$python" -m venv "$venv"
touch "$made"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

# connection-pool exists as source only: its build tools come first, hashed like all else.
build="$(mktemp)"
trap 'rm -f "$build"' EXIT
awk '/^[a-z]/ { keep = /^(packaging|setuptools|wheel)==/ } keep' requirements.lock > "$build"
pip install --quiet --require-hashes -r "$build"
pip install --quiet --require-hashes --no-build-isolation -r requirements.lock
cp requirements.lock "$made"
