"""Networks that make features, one architecture a file."""

from tladapt.models.backbones.auto import Auto
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.models.backbones.digits_cnn import DigitsCNN
from tladapt.models.backbones.lenet import LeNet
from tladapt.models.backbones.mlp import MLP
from tladapt.models.backbones.mobilenet_v2 import MobileNetV2
from tladapt.models.backbones.published import Chain, Published

__all__ = ["BACKBONES", "MLP", "Auto", "Backbone", "Chain", "DigitsCNN", "LeNet", "MobileNetV2", "Published"]
