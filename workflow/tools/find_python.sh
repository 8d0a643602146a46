#!/usr/bin/env bash
# Print the path of a CPython 3.11 to 3.13 that can make virtual environments.
# Candidates are run, not only looked up: a python3.12 on the path may be a shim that fails.
set -u
probe='
import sys, venv, ensurepip
ok = sys.implementation.name == "cpython" and (3, 11) <= sys.version_info[:2] <= (3, 13)
print(sys.executable if ok else "")
'
without_venv=
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python \
  /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3; do
  command -v "$candidate" >/dev/null 2>&1 || continue
  found=$("$candidate" -c "$probe" 2>/dev/null)
  if [ -n "$found" ]; then
    echo "$found"
    exit 0
  fi
  if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    without_venv=$candidate
  fi
done
if [ -n "$without_venv" ]; then
  echo "$without_venv cannot make virtual environments: install its venv package (on Debian and Ubuntu: apt-get install python3-venv)." >&2
else
  echo "No CPython 3.11, 3.12 or 3.13 was found: install one (on Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv) or name one with PYTHON=/path/to/python." >&2
fi
exit 1
