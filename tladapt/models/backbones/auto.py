"""The backbone that fits the shape of the inputs."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.models.backbones.digits_cnn import DigitsCNN
from tladapt.models.backbones.mlp import MLP
from tladapt.models.backbones.window_cnn import WindowCNN

_LARGEST = 64  # pixels a side that three halvings leave small enough to flatten


@BACKBONES.register("auto")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Auto(Backbone):
    """The backbone that suits the shape of the inputs.

    `mlp` for vectors (tables, too) and for images too small to be halved three times; `window_cnn` for windows of
    signals, [time, channels]; `digits_cnn` for images up to 64 pixels, and spectrograms, [frames, bands, 1].
    """

    name: ClassVar[str] = "auto"
    summary: ClassVar[str] = "mlp for vectors, window_cnn for windows of signals, digits_cnn for small images"

    def choose(self, shape: tuple[int, ...]) -> Backbone:
        """Return the backbone for inputs of this shape.

        Raises:
          UsageError: for inputs that none of them suits.
        """
        if len(shape) == 1:
            return MLP()
        if len(shape) == 2:
            if shape[0] > shape[1]:
                return WindowCNN()
            raise UsageError(
                f"backbone 'auto' takes inputs [time, channels] of more points in time than channels for windows of"
                f" signals; these have shape {shape}. Name window_cnn if they are; give grey images their channel:"
                " x[..., None]."
            )
        if len(shape) == 3 and max(shape[:2]) <= _LARGEST:
            return DigitsCNN() if min(shape[:2]) >= 8 else MLP()
        raise UsageError(
            f"backbone 'auto' knows vectors (d,), windows (time, channels) and images (height, width, channels) of at"
            f" most {_LARGEST} pixels a side; these inputs have shape {shape}. Name a backbone ('tladapt list"
            " backbones'), such as mobilenetv2_100 with its published weights (--weights), or pass a module of your"
            " own."
        )

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        return self.choose(shape).build(shape, rngs=rngs)
