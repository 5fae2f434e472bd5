"""Losses: pure functions of arrays, without parameters, state or randomness.

Every loss on examples takes weights, where weight 0 is an example left out, computes in at least float32 and returns a
scalar of that precision.
"""

from tladapt.losses import schedules
from tladapt.losses.adversarial import domain_accuracy, domain_adversarial, gradient_reversal
from tladapt.losses.classification import cross_entropy
from tladapt.losses.conditional import conditional_map, conditional_product, random_conditional_map, random_maps
from tladapt.losses.confusion import minimum_class_confusion
from tladapt.losses.consistency import class_balance, confidence_mask, consistency
from tladapt.losses.coral import coral
from tladapt.losses.discrepancy import classifier_discrepancy
from tladapt.losses.entropy import certainty_weights, diversity, entropy, information_maximization
from tladapt.losses.mmd import mk_mmd
from tladapt.losses.schedules import LAMBDA_SCHEDULES, LEARNING_RATE_SCHEDULES
from tladapt.losses.self_training import pseudo_label

__all__ = [
    "LAMBDA_SCHEDULES",
    "LEARNING_RATE_SCHEDULES",
    "certainty_weights",
    "class_balance",
    "classifier_discrepancy",
    "conditional_map",
    "conditional_product",
    "confidence_mask",
    "consistency",
    "coral",
    "cross_entropy",
    "diversity",
    "domain_accuracy",
    "domain_adversarial",
    "entropy",
    "gradient_reversal",
    "information_maximization",
    "minimum_class_confusion",
    "mk_mmd",
    "pseudo_label",
    "random_conditional_map",
    "random_maps",
    "schedules",
]
