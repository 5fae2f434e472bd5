"""Transferability: scores that rank source models for a labelled data set before any training."""

from tladapt.evaluation.transferability.base import TRANSFERABILITY, TransferabilityScore, transferability
from tladapt.evaluation.transferability.gbc import gbc
from tladapt.evaluation.transferability.h_score import h_score, regularized_h_score
from tladapt.evaluation.transferability.leep import leep, nce
from tladapt.evaluation.transferability.logme import logme
from tladapt.evaluation.transferability.ranking import RankedModel, Ranking, rank_models

__all__ = [
    "TRANSFERABILITY",
    "RankedModel",
    "Ranking",
    "TransferabilityScore",
    "gbc",
    "h_score",
    "leep",
    "logme",
    "nce",
    "rank_models",
    "regularized_h_score",
    "transferability",
]
