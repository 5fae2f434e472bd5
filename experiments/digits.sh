#!/usr/bin/env bash
# MNIST -> USPS and MNIST -> MNIST-M, 3 seeds each:  bash experiments/digits.sh DATA_DIR   (or set TLADAPT_DATA)
# Expected on mnist-usps, last step: dann 85 or more and at least 8 points ahead of source_only, mean_teacher 94 or more;
# on mnist-mnistm: dann at least 15 points ahead of source_only. JOBS runs go side by side; finished ones are kept.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" TLADAPT_DATA="${1:-${TLADAPT_DATA:?give the folder of the data sets}}"
# A network with BatchNorm and one without, each under the recipe that digits_recipe.sh found for it without target labels.
cnn="--backbone digits_cnn --backbone.widths 16,32,64 --steps 2000 --recipe digits"
lenet="--backbone lenet --backbone.padding valid --steps 2000 --recipe ganin2016 --recipe.learning_rate 0.03"
{
    for seed in 1 2 3; do
        for method in dann source_only mean_teacher mmd shot target_only; do
            echo "--data mnist-usps --method $method $cnn --seed $seed --out runs/mnist_usps/cnn-$method-seed$seed"
        done
        for method in dann source_only mmd; do
            echo "--data mnist-usps --method $method $lenet --seed $seed --out runs/mnist_usps/lenet-$method-seed$seed"
        done
        for method in dann source_only; do
            echo "--data mnist-mnistm --method $method $cnn --seed $seed --out runs/mnist_mnistm/cnn-$method-seed$seed"
        done
    done
} | xargs -P "${JOBS:-1}" -I{} sh -c 'tladapt train {} --resume --no-figures'
for name in mnist_usps mnist_mnistm; do
    python experiments/collect.py runs/$name/* --out experiments/results/$name.csv
done
python experiments/tables.py
