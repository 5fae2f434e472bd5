"""Synthetic shifts, for study and for tests: `tladapt.load(name, shift="rotation:angle=30")`, or as objects.

Every shift is a frozen dataclass with `apply(scenario) -> Scenario`, exact under its seed.
"""

from tladapt.data.shifts.base import SHIFTS, Shift, spelled
from tladapt.data.shifts.blur import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur
from tladapt.data.shifts.colour import Brightness, Contrast, Inverse, Quantize, Saturate
from tladapt.data.shifts.concept import ConceptShift
from tladapt.data.shifts.corruption import Corruption
from tladapt.data.shifts.covariate import CovariateShift
from tladapt.data.shifts.digital import ElasticTransform, JpegCompression, Pixelate
from tladapt.data.shifts.geometry import Rotate, Rotation, Scale, Shear, Translate
from tladapt.data.shifts.inputs import InputShift
from tladapt.data.shifts.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise
from tladapt.data.shifts.priors import Imbalance, KnockOut, LabelShift, MissingClasses, TweakOne
from tladapt.data.shifts.resampling import PriorShift, Resampling
from tladapt.data.shifts.strokes import DottedLine, Line, Stripe, Zigzag
from tladapt.data.shifts.subspace import SubspaceShift
from tladapt.data.shifts.text import Shifts, read_shifts, shift_scenario
from tladapt.data.shifts.weather import Fog, Snow, Spatter

__all__ = [
    "SHIFTS",
    "Brightness",
    "ConceptShift",
    "Contrast",
    "Corruption",
    "CovariateShift",
    "DefocusBlur",
    "DottedLine",
    "ElasticTransform",
    "Fog",
    "GaussianBlur",
    "GaussianNoise",
    "GlassBlur",
    "Imbalance",
    "ImpulseNoise",
    "InputShift",
    "Inverse",
    "JpegCompression",
    "KnockOut",
    "LabelShift",
    "Line",
    "MissingClasses",
    "MotionBlur",
    "Pixelate",
    "PriorShift",
    "Quantize",
    "Resampling",
    "Rotate",
    "Rotation",
    "Saturate",
    "Scale",
    "Shear",
    "Shift",
    "Shifts",
    "ShotNoise",
    "Snow",
    "Spatter",
    "SpeckleNoise",
    "Stripe",
    "SubspaceShift",
    "Translate",
    "TweakOne",
    "Zigzag",
    "ZoomBlur",
    "read_shifts",
    "shift_scenario",
    "spelled",
]
