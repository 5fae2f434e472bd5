"""Networks that make features, one architecture a file."""

from tladapt.models.backbones.alexnet import AlexNet
from tladapt.models.backbones.auto import Auto
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.models.backbones.bert import Bert
from tladapt.models.backbones.cifar_resnet import CifarResNet
from tladapt.models.backbones.densenet import DenseNet
from tladapt.models.backbones.digits_cnn import DigitsCNN
from tladapt.models.backbones.distilbert import DistilBert
from tladapt.models.backbones.efficientnet import EfficientNet
from tladapt.models.backbones.identity import Identity
from tladapt.models.backbones.inception_v3 import InceptionV3
from tladapt.models.backbones.lenet import LeNet
from tladapt.models.backbones.mlp import MLP
from tladapt.models.backbones.mobilenet_v1 import MobileNetV1
from tladapt.models.backbones.mobilenet_v2 import MobileNetV2
from tladapt.models.backbones.mobilenet_v3 import MobileNetV3
from tladapt.models.backbones.progressive import Progressive
from tladapt.models.backbones.published import Chain, Published
from tladapt.models.backbones.resnet import ResNet
from tladapt.models.backbones.roberta import Roberta
from tladapt.models.backbones.squeezenet import SqueezeNet
from tladapt.models.backbones.text import TextEncoder
from tladapt.models.backbones.text_config import spec_from_config
from tladapt.models.backbones.vgg import VGG
from tladapt.models.backbones.vit import DistilledTransformer, VisionTransformer
from tladapt.models.backbones.window_cnn import WindowCNN

__all__ = [
    "BACKBONES",
    "MLP",
    "VGG",
    "AlexNet",
    "Auto",
    "Backbone",
    "Bert",
    "Chain",
    "CifarResNet",
    "DenseNet",
    "DigitsCNN",
    "DistilBert",
    "DistilledTransformer",
    "EfficientNet",
    "Identity",
    "InceptionV3",
    "LeNet",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "Progressive",
    "Published",
    "ResNet",
    "Roberta",
    "SqueezeNet",
    "TextEncoder",
    "VisionTransformer",
    "WindowCNN",
    "spec_from_config",
]
