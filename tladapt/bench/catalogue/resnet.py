"""What benchmarks of photographs have in common: a ResNet from ImageNet, fine-tuned as thuml's library does."""

from __future__ import annotations

import dataclasses

from tladapt.training.config import Config
from tladapt.training.recipe import RECIPES

# The backbone at a tenth of the rate of the new layers; images mirrored and cut at random.
RECIPE = dataclasses.replace(RECIPES["thuml"], backbone_rate=0.1, augment="random_resized_crop+flip", name="thuml*")
FINE_TUNED = Config(
    backbone="resnet50",
    weights="torchvision/resnet50.IMAGENET1K_V1",
    transfer="finetune",
    recipe=RECIPE,
    steps=20_000,
    evaluations=20,
)
METHODS = ("source_only", "dann", "mmd", "cdan", "mcd", "mcc", "shot")
