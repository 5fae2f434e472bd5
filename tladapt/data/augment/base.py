"""What an augmentation is, and how a text such as `"flip+translate(pixels=4)"` becomes one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from tladapt import fields
from tladapt.errors import UnknownNameError, UsageError
from tladapt.fields import Chosen
from tladapt.registry import Registry


class Augmentation(Protocol):
    """A random map of a batch onto one of the same shape and dtype."""

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array: ...


@dataclasses.dataclass(frozen=True)
class _Composed:
    """Augmentations one after another, each with a key of its own."""

    parts: tuple[Augmentation, ...]

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        for place, part in enumerate(self.parts):
            x = part(jax.random.fold_in(key, place), x)
        return x


_PART = re.compile(r"\s*([\w-]+)\s*(?:\(([^()]*)\)\s*)?")


class _Augmentations(Registry[Any]):
    """Looks up "a", "a(option=value, ...)" and "a+b", the composition of "a", then "b"."""

    def __getitem__(self, name: str) -> Augmentation:
        parts = tuple(self._part(part) for part in re.split(r"\+(?![^(]*\))", name))
        return parts[0] if len(parts) == 1 else _Composed(parts)

    def _part(self, text: str) -> Augmentation:
        match = _PART.fullmatch(text)
        if match is None:
            raise UnknownNameError(
                f"Cannot read {text!r}: an augmentation is NAME or NAME(option=value, ...), and 'A+B' does A, then B."
            )
        name, inside = match.groups()
        kind = super().__getitem__(name)
        given = [option for option in (inside or "").split(",") if option.strip()]
        if wrong := [option for option in given if "=" not in option]:
            raise UsageError(f"augmentation {name!r}: options are option=value, got {wrong[0].strip()!r}.")
        options = {key.strip(): value.strip() for key, value in (option.split("=", 1) for option in given)}
        if isinstance(kind, type):
            made: Augmentation = fields.make(kind, options, called=f"augmentation {name!r}")
            return made
        if options:
            raise UsageError(f"augmentation {name!r} is a function and has no option {next(iter(options))!r}.")
        function: Augmentation = kind
        return function

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self[name]
        except UsageError:
            return False
        return True


AUGMENTATIONS: _Augmentations = _Augmentations("augmentation")
"""By name, classes or functions `(key, x) -> x`; one of your own goes in with `AUGMENTATIONS.register("name")`."""


def shape_of(x: jax.Array, called: str) -> tuple[int, int, int, int]:
    """Return the shape of a batch of images; anything else raises in words, at trace time."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UsageError(f"augmentation {called!r} needs floating numbers, got {x.dtype}: indices are no pixels.")
    if x.ndim != 4:
        raise UsageError(
            f"augmentation {called!r} moves pixels and needs images [n, height, width, channels], got shape {x.shape}."
            " Vectors can have 'noise': --recipe.augment noise, Recipe(augment=\"noise\")."
        )
    n, height, width, channels = x.shape
    return n, height, width, channels


def limited(thing: Any, field: str, low: float, high: float) -> None:
    """Raise unless a field of an augmentation lies in [low, high]."""
    value = getattr(thing, field)
    if not low <= value <= high:
        bounds = f"from {low:g} on" if high == float("inf") else f"from {low:g} to {high:g}"
        raise UsageError(f"augmentation {thing.name!r}: {field} must be {bounds}, got {value!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageAugmentation(Chosen):
    """Base of augmentations that are written for one image; each image of a batch draws from a key of its own.

    A subclass is a frozen, keyword-only dataclass whose fields are its options, with `name`, and with
    `one(key, image) -> image`: float32 `[height, width, channels]`.
    """

    name: ClassVar[str]
    unit_range: ClassVar[bool] = False
    """Whether it takes pixels for numbers in [0, 1]: it clips, inverts or mixes in others."""
    channels: ClassVar[tuple[int, ...]] = ()
    """Numbers of channels that it understands; empty: any."""

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one image, augmented."""
        raise NotImplementedError(f"{type(self).__name__} must define one(self, key, image).")

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        """Return images `[n, h, w, c]`, each augmented on its own; computed in float32."""
        n, *_, channels = shape_of(x, self.name)
        if self.channels and channels not in self.channels:
            raise UsageError(
                f"augmentation {self.name!r} needs images with {' or '.join(map(str, self.channels))} channels, got"
                f" {channels}."
            )
        one: Callable[[jax.Array, jax.Array], jax.Array] = jax.vmap(self.one)
        return one(jax.random.split(key, n), x.astype(jnp.float32)).astype(x.dtype)


def check_inputs(name: str, *, low: float, high: float) -> None:
    """Raise where an augmentation takes pixels for numbers in [0, 1], and the inputs are others.

    Args:
      name: of the augmentation, as in a recipe.
      low: the least input.
      high: the greatest input.

    Raises:
      UsageError: with what to do.
    """
    made = AUGMENTATIONS[name]
    for part in made.parts if isinstance(made, _Composed) else (made,):
        if isinstance(part, ImageAugmentation) and part.unit_range and (low < -0.01 or high > 1.01):
            raise UsageError(
                f"augmentation {part.name!r} takes inputs for pixels in [0, 1], and they go from {low:.4g} to"
                f" {high:.4g}. Give 8-bit images as uint8 or pixels in [0, 1]; the recipe's standardize shifts and"
                " scales them afterwards."
            )


@AUGMENTATIONS.register("none")
def none(key: jax.Array, x: jax.Array) -> jax.Array:
    """Return `x` as it is."""
    del key
    return x
