#!/usr/bin/env bash
# Run the benchmarks: `make bench`. The one on real lines needs ROADMASK_DATA (../shared/data).
set -euo pipefail
cd "$(dirname "$0")/.."
python="${VENV:-.venv}/bin/python"
data="${ROADMASK_DATA:-../shared/data}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

echo "== planning 2,000 sheets"
"$python" benchmarks/dry_run.py 2000
echo "== colour alone on the demo city"
PYTHONPATH=workflow "$python" -m roadmask demo --output "$scratch/demo" --demo.seed 1 --demo.broken_lines 0.1
"$python" benchmarks/colour_baseline.py "$scratch/demo"
echo "== predicting: the stage against its network, and its memory"
PYTHONPATH=workflow "$python" benchmarks/predictions.py speed
PYTHONPATH=workflow "$python" benchmarks/predictions.py memory
echo "== evaluating a sheet"
"$python" benchmarks/evaluate_sheet.py
echo "== intervals"
"$python" benchmarks/interval_coverage.py
echo "== planted faults: how many bad labels the doubt finds"
"$python" benchmarks/planted_faults.py "$scratch/faults" --seeds 21 2> /dev/null
echo "== training speed of the networks"
"$python" benchmarks/networks.py --seconds 5
echo "== the input and the steps of training"
PYTHONPATH=workflow "$python" benchmarks/training.py
PYTHONPATH=workflow "$python" benchmarks/training.py --strong
if [ -d "$data/nyc_manhattan" ]; then
  echo "== filling regions"
  "$python" benchmarks/region_fill.py "$data/nyc_manhattan"
else
  echo "== filling regions: no $data/nyc_manhattan, left out"
fi
