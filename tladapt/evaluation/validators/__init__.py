"""Validators: scores that need no label of the target, the collapse guard before them, and the choice after."""

from tladapt.evaluation.validators.base import VALIDATORS, Assessment, ValidationOutputs, Validator
from tladapt.evaluation.validators.choice import Choice, choose, oracle
from tladapt.evaluation.validators.class_ami import ClassAMI
from tladapt.evaluation.validators.dev import DeepEmbeddedValidation
from tladapt.evaluation.validators.entropy import Entropy
from tladapt.evaluation.validators.guard import collapse, effective_rank
from tladapt.evaluation.validators.information_maximization import InformationMaximization
from tladapt.evaluation.validators.snd import SoftNeighborhoodDensity
from tladapt.evaluation.validators.source_accuracy import SourceAccuracy

__all__ = [
    "VALIDATORS",
    "Assessment",
    "Choice",
    "ClassAMI",
    "DeepEmbeddedValidation",
    "Entropy",
    "InformationMaximization",
    "SoftNeighborhoodDensity",
    "SourceAccuracy",
    "ValidationOutputs",
    "Validator",
    "choose",
    "collapse",
    "effective_rank",
    "oracle",
]
