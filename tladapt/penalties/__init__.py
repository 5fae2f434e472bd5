"""Penalties that keep a model close to an earlier one, beside any method."""

from __future__ import annotations

from tladapt.penalties.base import PENALTIES, Penalty, PenaltyStart
from tladapt.penalties.ewc import EWC, fisher_information
from tladapt.penalties.l2sp import L2SP

__all__ = ["EWC", "L2SP", "PENALTIES", "Penalty", "PenaltyStart", "fisher_information"]
