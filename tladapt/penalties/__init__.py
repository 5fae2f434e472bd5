"""Penalties that keep a model close to an earlier one, beside any method."""

from __future__ import annotations

from tladapt.penalties.base import PENALTIES, Penalty, PenaltyContext, PenaltyStart, Seen, SourceClassifier
from tladapt.penalties.bss import BSS
from tladapt.penalties.co_tuning import CoTuning
from tladapt.penalties.delta import DELTA
from tladapt.penalties.ewc import EWC, fisher_information
from tladapt.penalties.l2sp import L2SP
from tladapt.penalties.lwf import LwF

__all__ = [
    "BSS",
    "DELTA",
    "EWC",
    "L2SP",
    "PENALTIES",
    "CoTuning",
    "LwF",
    "Penalty",
    "PenaltyContext",
    "PenaltyStart",
    "Seen",
    "SourceClassifier",
    "fisher_information",
]
