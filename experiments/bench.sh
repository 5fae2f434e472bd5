#!/usr/bin/env bash
# The grid of a benchmark, its results as CSV and as a figure of gains, and the tables that are made of them:
#   bash experiments/bench.sh NAME [options of 'tladapt bench', such as --data-dir DIR]
# It goes on where it stopped: call it again after whatever happened.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
name="${1:?which benchmark? 'tladapt list benchmarks' names them}"
shift
tladapt bench "$name" --out "runs/bench-$name" "$@"
cp "runs/bench-$name/outcomes.csv" "experiments/results/bench/$name.csv"
python - "$name" <<'EOF_PY'
import shutil
import sys
from pathlib import Path

from tladapt.bench import draw_tables, find_benchmark, read_outcomes

out = Path("runs") / f"bench-{sys.argv[1]}"
draw_tables(out, read_outcomes(out), find_benchmark(sys.argv[1]))
shutil.copy(out / "figures" / "gains.png", f"experiments/results/bench/{sys.argv[1]}.png")
EOF_PY
python experiments/tables.py
