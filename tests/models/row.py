"""What a golden file is made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A reference network: any torch module; `features(module, x)` gives its features in both modes.

    Attributes:
      backbone: our name of it.
      library: whose names its tensors have.
      make: returns the torch module.
      features, logits: of the module and a batch `[n, c, h, w]` (or token ids), as torch tensors.
      input: shape of the batch, channels last.
      pad: the token id that stands for padding.
      classes: of its classifier; 0: it has none.
      options: fields of our backbone.
      stages: names of submodules whose outputs are kept, or the ends of their names; our stages are called so, too.
      gradients: names of tensors -> our paths of the parameters whose gradients are kept.
      statistics: names of running statistics -> our paths.
    """

    backbone: str
    library: str
    make: Callable[[], Any]
    features: Callable[[Any, Any], Any]
    logits: Callable[[Any, Any], Any] | None
    input: tuple[int, ...]
    classes: int
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    stages: tuple[str, ...] = ()
    gradients: dict[str, str] = dataclasses.field(default_factory=dict)
    statistics: dict[str, str] = dataclasses.field(default_factory=dict)
    pad: int = 0


def pooled(module: Any, x: Any) -> Any:
    """Return timm's features: pooled, before the classifier."""
    return module.forward_head(module.forward_features(x), pre_logits=True)


def parts(*names: str) -> Callable[[Any, Any], Any]:
    """Return features as those submodules give them, one after the other, flattened."""

    def features(module: Any, x: Any) -> Any:
        for name in names:
            x = module.get_submodule(name)(x)
        return x.flatten(1)

    return features


def called(module: Any, x: Any) -> Any:
    return module(x)


def timm(name: str, **options: Any) -> Callable[[], Any]:
    def create() -> Any:
        import timm

        return timm.create_model(name, **options)

    return create


def torchvision(name: str, **options: Any) -> Callable[[], Any]:
    def create() -> Any:
        import torchvision

        return getattr(torchvision.models, name)(**options)

    return create
