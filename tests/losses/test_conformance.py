"""One row a loss: every row goes through the public conformance kit, against a naive float64 reference."""

from __future__ import annotations

import functools

import pytest

from tests.losses import naive
from tladapt import losses
from tladapt.testing import check_loss

ROWS = {
    "mk_mmd/unbiased": (losses.mk_mmd, {"reference": naive.mk_mmd}),
    "mk_mmd/biased": (
        functools.partial(losses.mk_mmd, estimator="biased"),
        {"reference": functools.partial(naive.mk_mmd, estimator="biased")},
    ),
    "mk_mmd/linear": (
        functools.partial(losses.mk_mmd, estimator="linear"),
        {
            "reference": functools.partial(naive.mk_mmd, estimator="linear"),
            "equal_sizes": True,
            "permutation": False,
            "weights": False,
        },
    ),
    "coral": (losses.coral, {"reference": naive.coral}),
    "domain_adversarial": (losses.domain_adversarial, {"kind": "domains", "reference": naive.domain_adversarial}),
    "cross_entropy": (losses.cross_entropy, {"kind": "labelled", "reference": naive.cross_entropy}),
    "cross_entropy/smoothed": (
        functools.partial(losses.cross_entropy, smoothing=0.1),
        {"kind": "labelled", "reference": functools.partial(naive.cross_entropy, smoothing=0.1)},
    ),
    "entropy": (losses.entropy, {"kind": "single", "reference": naive.entropy}),
    "diversity": (losses.diversity, {"kind": "single", "reference": naive.diversity}),
    "information_maximization": (
        losses.information_maximization,
        {"kind": "single", "reference": naive.information_maximization},
    ),
    "class_balance": (losses.class_balance, {"kind": "single", "reference": naive.class_balance}),
    "minimum_class_confusion": (
        losses.minimum_class_confusion,
        {"kind": "single", "reference": naive.minimum_class_confusion},
    ),
    "classifier_discrepancy": (
        losses.classifier_discrepancy,
        {"kind": "aligned", "reference": naive.classifier_discrepancy},
    ),
    "consistency": (
        functools.partial(losses.consistency, confidence=0.5),
        {
            "kind": "aligned",
            "reference": functools.partial(naive.consistency, confidence=0.5),
            "no_gradient": (1,),
        },
    ),
    "pseudo_label": (
        functools.partial(losses.pseudo_label, threshold=0.5),
        {"kind": "single", "reference": functools.partial(naive.pseudo_label, threshold=0.5)},
    ),
    "pseudo_label/given": (losses.pseudo_label, {"kind": "labelled", "reference": naive.cross_entropy}),
}


@pytest.mark.parametrize("row", ROWS)
def test_loss_conforms(row):
    loss, options = ROWS[row]
    check_loss(loss, **options)


def test_every_public_loss_has_a_row():
    not_losses = {  # maps, masks, weights, metrics and schedules: each has its own tests
        "LAMBDA_SCHEDULES",
        "LEARNING_RATE_SCHEDULES",
        "certainty_weights",
        "conditional_map",
        "conditional_product",
        "confidence_mask",
        "domain_accuracy",
        "gradient_reversal",
        "random_conditional_map",
        "random_maps",
        "schedules",
    }
    assert set(losses.__all__) - not_losses == {row.split("/")[0] for row in ROWS}
