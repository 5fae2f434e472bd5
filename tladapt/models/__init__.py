"""Networks: layers, backbones, heads, and the model that they make."""

from tladapt.models import weights
from tladapt.models.attention import SelfAttention, attention
from tladapt.models.backbones import BACKBONES, MLP, Auto, Backbone, DigitsCNN, LeNet
from tladapt.models.compile import foreign_convolutions, has_convolutions, jit
from tladapt.models.convolution import conv2d
from tladapt.models.heads import Bottleneck, DenseBlock, Discriminator, MLPClassifier, WeightNormLinear
from tladapt.models.layers import Conv, Linear, avg_pool, max_pool
from tladapt.models.model import Model, Outputs, build_model
from tladapt.models.normalization import BatchNorm, LayerNorm, batch_norm
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.pretrained_model import PretrainedModel, pretrained
from tladapt.models.tokenizers import TextPreprocessing, Tokenizer

__all__ = [
    "BACKBONES",
    "MLP",
    "Auto",
    "Backbone",
    "BatchNorm",
    "Bottleneck",
    "Conv",
    "DenseBlock",
    "DigitsCNN",
    "Discriminator",
    "LayerNorm",
    "LeNet",
    "Linear",
    "MLPClassifier",
    "Model",
    "Outputs",
    "Preprocessing",
    "PretrainedModel",
    "SelfAttention",
    "TextPreprocessing",
    "Tokenizer",
    "WeightNormLinear",
    "attention",
    "avg_pool",
    "batch_norm",
    "build_model",
    "conv2d",
    "foreign_convolutions",
    "has_convolutions",
    "jit",
    "max_pool",
    "pretrained",
    "weights",
]
