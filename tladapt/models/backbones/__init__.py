"""Networks that make features, one architecture a file."""

from tladapt.models.backbones.auto import Auto
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.models.backbones.cifar_resnet import CifarResNet
from tladapt.models.backbones.digits_cnn import DigitsCNN
from tladapt.models.backbones.identity import Identity
from tladapt.models.backbones.lenet import LeNet
from tladapt.models.backbones.mlp import MLP
from tladapt.models.backbones.mobilenet_v1 import MobileNetV1
from tladapt.models.backbones.mobilenet_v2 import MobileNetV2
from tladapt.models.backbones.published import Chain, Published
from tladapt.models.backbones.squeezenet import SqueezeNet

__all__ = [
    "BACKBONES",
    "MLP",
    "Auto",
    "Backbone",
    "Chain",
    "CifarResNet",
    "DigitsCNN",
    "Identity",
    "LeNet",
    "MobileNetV1",
    "MobileNetV2",
    "Published",
    "SqueezeNet",
]
