#!/usr/bin/env bash
# What adaptation without the source costs the source, with and without EWC, and for a chain of three targets; 5 seeds:
#   bash experiments/forgetting.sh DATA_DIR   (or set TLADAPT_DATA)
# Expected: without a penalty source accuracy falls; EWC keeps the more of it the larger its weight, at a cost on the target
# that the tables state. Finished runs are kept.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" TLADAPT_DATA="${1:-${TLADAPT_DATA:?give the folder of the data sets}}"
python experiments/forgetting.py photo usps aside chain collect --seeds 1 2 3 4 5
python experiments/forgetting_figure.py
python experiments/tables.py
