"""Weights in files: our own as safetensors with flat keys, and those of torch, Keras, NumPy and the hubs."""

from tladapt.models.weights.files import WeightsFile, read_weights_file
from tladapt.models.weights.store import flatten, load, load_arrays, save, save_arrays, unflatten

__all__ = [
    "WeightsFile",
    "flatten",
    "load",
    "load_arrays",
    "read_weights_file",
    "save",
    "save_arrays",
    "unflatten",
]
