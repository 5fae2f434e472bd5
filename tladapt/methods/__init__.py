"""Adaptation methods: one paper, one file. `METHODS` lists them; each lower-case name makes one."""

from __future__ import annotations

from tladapt.methods.adabn import AdaBN
from tladapt.methods.base import (
    METHODS,
    Context,
    Forward,
    Logged,
    Method,
    Sizes,
    SourceOutputs,
    Stage,
    Start,
    TargetOutputs,
    Term,
    Update,
    classification,
)
from tladapt.methods.cdan import CDAN
from tladapt.methods.combine import Combined, combine
from tladapt.methods.coral import CORAL
from tladapt.methods.dann import DANN
from tladapt.methods.mcc import MCC
from tladapt.methods.mcd import MCD
from tladapt.methods.mean_teacher import MeanTeacher
from tladapt.methods.mmd import MMD, Discrepancy, discrepancy
from tladapt.methods.shot import SHOT
from tladapt.methods.source_only import SourceOnly, TargetOnly

source_only = SourceOnly
target_only = TargetOnly
dann = DANN
cdan = CDAN
mmd = MMD
coral = CORAL
mcc = MCC
mcd = MCD
shot = SHOT
mean_teacher = MeanTeacher
adabn = AdaBN

__all__ = [
    "CDAN",
    "CORAL",
    "DANN",
    "MCC",
    "MCD",
    "METHODS",
    "MMD",
    "SHOT",
    "AdaBN",
    "Combined",
    "Context",
    "Discrepancy",
    "Forward",
    "Logged",
    "MeanTeacher",
    "Method",
    "Sizes",
    "SourceOnly",
    "SourceOutputs",
    "Stage",
    "Start",
    "TargetOnly",
    "TargetOutputs",
    "Term",
    "Update",
    "adabn",
    "cdan",
    "classification",
    "combine",
    "coral",
    "dann",
    "discrepancy",
    "mcc",
    "mcd",
    "mean_teacher",
    "mmd",
    "shot",
    "source_only",
    "target_only",
]
