"""Scores of a model: metrics on labels, validators that need none, what features are worth, statistics over seeds."""

from tladapt.evaluation.anomaly import anomaly_metrics, energy, mahalanobis_distance, max_softmax, neighbour_distance
from tladapt.evaluation.clustering import agreement_with_labels, k_means
from tladapt.evaluation.metrics import (
    accuracy,
    accuracy_interval,
    classification_metrics,
    confusion_matrix,
    entropy,
    expected_calibration_error,
    macro_f1,
    mean_class_accuracy,
    per_class_accuracy,
    predict,
    softmax,
)
from tladapt.evaluation.probes import knn_probe, linear_probe
from tladapt.evaluation.statistics import Interval, PairedTest, holm, mean_and_interval, paired_test, spread
from tladapt.evaluation.transferability import TRANSFERABILITY, Ranking, rank_models
from tladapt.evaluation.validators import (
    VALIDATORS,
    Choice,
    ValidationOutputs,
    Validator,
    choose,
    collapse,
    effective_rank,
    oracle,
)

__all__ = [
    "TRANSFERABILITY",
    "VALIDATORS",
    "Choice",
    "Interval",
    "PairedTest",
    "Ranking",
    "ValidationOutputs",
    "Validator",
    "accuracy",
    "accuracy_interval",
    "agreement_with_labels",
    "anomaly_metrics",
    "choose",
    "classification_metrics",
    "collapse",
    "confusion_matrix",
    "effective_rank",
    "energy",
    "entropy",
    "expected_calibration_error",
    "holm",
    "k_means",
    "knn_probe",
    "linear_probe",
    "macro_f1",
    "mahalanobis_distance",
    "max_softmax",
    "mean_and_interval",
    "mean_class_accuracy",
    "neighbour_distance",
    "oracle",
    "paired_test",
    "per_class_accuracy",
    "predict",
    "rank_models",
    "softmax",
    "spread",
]
