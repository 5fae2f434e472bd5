"""Validators: scores that need no label of the target, the collapse guard before them, and the choice after."""

from tladapt.evaluation.validators.base import VALIDATORS, ValidationOutputs, Validator
from tladapt.evaluation.validators.choice import Choice, choose, oracle
from tladapt.evaluation.validators.entropy import Entropy
from tladapt.evaluation.validators.guard import collapse, effective_rank
from tladapt.evaluation.validators.information_maximization import InformationMaximization
from tladapt.evaluation.validators.source_accuracy import SourceAccuracy

__all__ = [
    "VALIDATORS",
    "Choice",
    "Entropy",
    "InformationMaximization",
    "SourceAccuracy",
    "ValidationOutputs",
    "Validator",
    "choose",
    "collapse",
    "effective_rank",
    "oracle",
]
