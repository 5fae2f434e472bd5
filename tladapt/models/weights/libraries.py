"""Files of weights of the two large libraries of image networks, under the names that their users know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import PublishedWeights


def torchvision_weights(
    backbone: str,
    file: str,
    *,
    tag: str = "IMAGENET1K_V1",
    accuracy: float,
    preprocessing: Preprocessing | None = None,
    options: Mapping[str, Any] | None = None,
) -> PublishedWeights:
    """Return weights of torchvision: "torchvision/<backbone>.<tag>".

    Args:
      backbone: its name, torchvision's own.
      file: "<name>-<the first eight digits of its checksum>.pth", at download.pytorch.org.
      tag: torchvision's name of this version.
      accuracy: top-1 on ImageNet-1K that torchvision 0.29 states, in per cent.
      preprocessing: where it is not the usual one: side 224 from 256, bilinear.
      options: fields of the backbone that differ from its defaults.
    """
    return PublishedWeights(
        name=f"torchvision/{backbone}.{tag}",
        backbone=backbone,
        file=file,
        url=f"https://download.pytorch.org/models/{file}",
        sha256=file.removesuffix(".pth").rsplit("-", 1)[1],
        options=options or {},
        classes=1000,
        preprocessing=preprocessing or Preprocessing(),
        licence="BSD-3-Clause (torchvision's own; it states none for the weights alone)",
        source=f"torchvision, ImageNet-1K; it states {accuracy} % top-1",
    )


def timm_weights(
    backbone: str,
    tag: str,
    *,
    size: int = 224,
    crop: float = 0.875,
    interpolation: Literal["bilinear", "bicubic"] = "bicubic",
    normalize: str = "imagenet",
    licence: str = "Apache-2.0",
    options: Mapping[str, Any] | None = None,
) -> PublishedWeights:
    """Return weights of timm, at the hub: "timm/<backbone>.<tag>".

    Args:
      backbone: its name, timm's own.
      tag: timm's name of this training.
      size: side of the images that it was trained on, in pixels.
      crop: share of the resized side that is cut out.
      interpolation: of the resize.
      normalize: a name in `NORMALIZATIONS`.
      licence: as timm states it.
      options: fields of the backbone that differ from its defaults.
    """
    return PublishedWeights(
        name=f"timm/{backbone}.{tag}",
        backbone=backbone,
        file="model.safetensors",
        hub=f"timm/{backbone}.{tag}",
        options=options or {},
        classes=1000,
        preprocessing=Preprocessing(
            size=size, resize=int(size / crop), interpolation=interpolation, normalize=normalize
        ),
        licence=licence,
        source="timm, ImageNet-1K",
    )
