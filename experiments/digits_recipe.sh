#!/usr/bin/env bash
# Which recipe the digits tables use, asked of a validator: bash experiments/digits_recipe.sh DATA_DIR (or TLADAPT_DATA)
# DANN on mnist-usps under the DANN paper's SGD: two rates, inputs standardised or not, augmented or not; one seed that
# no table has. The setting with the largest IM at the last step is taken. Test accuracies are in the CSV and decide nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" TLADAPT_DATA="${1:-${TLADAPT_DATA:?give the folder of the data sets}}"
for backbone in "digits_cnn --backbone.widths 16,32,64" "lenet --backbone.padding valid"; do
    for rate in 0.01 0.03; do
        for standardize in none domain; do
            for augment in none translate+noise; do
                out="runs/digits_recipe/${backbone%% *}-$rate-$standardize-$augment"
                tladapt train --data mnist-usps --method dann --backbone $backbone --steps 1000 --seed 0 --evaluations 2 \
                    --recipe ganin2016 --recipe.learning_rate $rate --recipe.standardize $standardize \
                    --recipe.augment $augment --out "$out" --resume --no-figures
            done
        done
    done
done
python experiments/digits_recipe.py runs/digits_recipe/* --out experiments/results/digits_recipe.csv
python experiments/tables.py
