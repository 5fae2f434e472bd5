"""Weights that others have published for vision transformers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import PublishedWeights
from tladapt.models.weights.libraries import timm_weights, torchvision_weights


def _torchvision() -> Iterator[PublishedWeights]:
    yield torchvision_weights("vit_b_16", "vit_b_16-c867db91.pth", accuracy=81.072)
    yield torchvision_weights("vit_b_32", "vit_b_32-d86f8d99.pth", accuracy=75.912)


def _google() -> Iterator[PublishedWeights]:
    """Of "How to train your ViT?" (Steiner et al., TMLR 2022, arXiv 2106.10270)."""
    for kind in ("tiny_patch16", "small_patch16", "small_patch32", "base_patch8", "base_patch16", "base_patch32"):
        tuned, first = (
            timm_weights(f"vit_{kind}_224", tag, crop=0.9, normalize="inception")
            for tag in ("augreg_in21k_ft_in1k", "augreg_in21k")
        )
        yield dataclasses.replace(tuned, source="timm, ImageNet-21K, then ImageNet-1K")
        yield dataclasses.replace(first, classes=21843, source="timm, ImageNet-21K")


def _deit() -> Iterator[PublishedWeights]:
    for kind in ("tiny", "small", "base"):
        yield timm_weights(f"deit_{kind}_patch16_224", "fb_in1k", crop=0.9)
        yield timm_weights(f"deit_{kind}_distilled_patch16_224", "fb_in1k", crop=0.9)


def _dino() -> Iterator[PublishedWeights]:
    source = "DINO, self-supervised on ImageNet-1K; no classifier"
    for kind, patch in (("small", 16), ("small", 8), ("base", 16), ("base", 8)):
        backbone = f"vit_{kind}_patch{patch}_224"
        file = f"dino_{'deit' if kind == 'small' else 'vit'}{kind}{patch}_pretrain"
        yield dataclasses.replace(timm_weights(backbone, "dino", crop=0.9), classes=0, source=f"timm; {source}")
        yield PublishedWeights(
            name=f"facebookresearch/dino_vit{kind[0]}{patch}",
            backbone=backbone,
            file=f"{file}.pth",
            url=f"https://dl.fbaipublicfiles.com/dino/{file}/{file}.pth",
            options={"antialias": False},
            preprocessing=Preprocessing(interpolation="bicubic"),
            licence="Apache-2.0",
            source=source,
        )
    for kind in ("small", "base"):
        yield dataclasses.replace(
            timm_weights(f"vit_{kind}_patch14_dinov2", "lvd142m", size=518, crop=1.0),
            classes=0,
            source="timm; DINOv2, self-supervised on LVD-142M; no classifier",
        )


def _clip() -> Iterator[PublishedWeights]:
    for kind, patch, crop in (("base", 32, 0.9), ("base", 16, 0.9), ("large", 14, 1.0)):
        backbone = f"vit_{kind}_patch{patch}_clip_quickgelu_224"
        yield dataclasses.replace(
            timm_weights(backbone, "openai", crop=crop, normalize="clip"),
            hub=f"timm/vit_{kind}_patch{patch}_clip_224.openai",
            classes=0,
            source="timm; CLIP's image tower by OpenAI; no classifier",
        )
        yield PublishedWeights(
            name=f"openai/clip-vit-{kind}-patch{patch}",
            backbone=backbone,
            file="pytorch_model.bin",
            hub=f"openai/clip-vit-{kind}-patch{patch}",
            preprocessing=Preprocessing(resize=224, interpolation="bicubic", normalize="clip"),
            licence="MIT, as its code is",
            source="CLIP's image tower by OpenAI; the text tower in the file is left out",
        )


PUBLISHED = (*_torchvision(), *_google(), *_deit(), *_dino(), *_clip())
