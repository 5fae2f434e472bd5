"""Augmentations: pure functions of a key and a batch, by name; `"flip+rotation(degrees=10)"` does one after another."""

from tladapt.data.augment.base import AUGMENTATIONS, Augmentation, ImageAugmentation, check_inputs
from tladapt.data.augment.colour import ColorJitter, Noise, RandomErasing
from tladapt.data.augment.geometry import Crop, Flip, RandomResizedCrop, Rotation, Translate
from tladapt.data.augment.mixup import Mixture, mixup
from tladapt.data.augment.randaugment import RandAugment
from tladapt.data.augment.signals import Scaling, SpecAugment

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "ColorJitter",
    "Crop",
    "Flip",
    "ImageAugmentation",
    "Mixture",
    "Noise",
    "RandAugment",
    "RandomErasing",
    "RandomResizedCrop",
    "Rotation",
    "Scaling",
    "SpecAugment",
    "Translate",
    "check_inputs",
    "mixup",
]
