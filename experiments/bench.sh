#!/usr/bin/env bash
# The grid of a benchmark, its results as CSV, and the tables that are made of them:
#   bash experiments/bench.sh NAME [options of 'tladapt bench', such as --data-dir DIR]
# It goes on where it stopped: call it again after whatever happened.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
name="${1:?which benchmark? 'tladapt list benchmarks' names them}"
shift
tladapt bench "$name" --out "runs/bench-$name" "$@"
cp "runs/bench-$name/outcomes.csv" "experiments/results/bench/$name.csv"
python experiments/tables.py
