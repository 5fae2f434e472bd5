"""Weights in files: safetensors with flat keys."""

from tladapt.models.weights.store import flatten, load, load_arrays, save, save_arrays, unflatten

__all__ = ["flatten", "load", "load_arrays", "save", "save_arrays", "unflatten"]
