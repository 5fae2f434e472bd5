"""Augmentations: pure functions of a key and a batch, by name; `"translate+noise"` composes them in that order."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp

from tladapt.errors import UnknownNameError, UsageError
from tladapt.registry import Registry


class Augmentation(Protocol):
    """A random map of a batch onto one of the same shape and dtype."""

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array: ...


class _Augmentations(Registry[Augmentation]):
    """Looks up "a+b" as the composition of "a", then "b"; each part draws from a key of its own."""

    def __getitem__(self, name: str) -> Augmentation:
        parts = [part.strip() for part in name.split("+")]
        functions = [super(_Augmentations, self).__getitem__(part) for part in parts]
        if len(functions) == 1:
            return functions[0]

        def composed(key: jax.Array, x: jax.Array, /) -> jax.Array:
            for place, function in enumerate(functions):
                x = function(jax.random.fold_in(key, place), x)
            return x

        return composed

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self[name]
        except UnknownNameError:
            return False
        return True


AUGMENTATIONS: _Augmentations = _Augmentations("augmentation")


def _images(x: jax.Array, called: str) -> tuple[int, int, int, int]:
    """Return the shape of a batch of images; anything else raises in words, at trace time."""
    if x.ndim != 4:
        raise UsageError(
            f"augmentation {called!r} moves pixels and needs images [n, height, width, channels], got shape {x.shape}."
            " Vectors can have 'noise': --recipe.augment noise, Recipe(augment=\"noise\")."
        )
    n, height, width, channels = x.shape
    return n, height, width, channels


def _shifted(key: jax.Array, x: jax.Array, pixels: int) -> jax.Array:
    """Return each image padded with zeros by `pixels` and cut out at a random place of its own."""
    n, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    corners = jax.random.randint(key, (n, 2), 0, 2 * pixels + 1)  # [n, 2]

    def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(cut)(padded, corners)


@AUGMENTATIONS.register("none")
def none(key: jax.Array, x: jax.Array) -> jax.Array:
    """Return `x` as it is."""
    del key
    return x


@AUGMENTATIONS.register("noise")
def noise(key: jax.Array, x: jax.Array, *, deviation: float = 0.1) -> jax.Array:
    """Return `x` plus Gaussian noise of standard deviation 0.1; the sum is not clipped.

    >>> noise(jax.random.key(0), jnp.zeros((2, 3))).shape
    (2, 3)
    """
    return x + deviation * jax.random.normal(key, x.shape, x.dtype)


@AUGMENTATIONS.register("translate")
def translate(key: jax.Array, x: jax.Array, *, pixels: int = 2) -> jax.Array:
    """Return images `[n, h, w, c]`, each moved by -2 to 2 whole pixels along both axes; zeros come in."""
    _images(x, "translate")
    return _shifted(key, x, pixels)


@AUGMENTATIONS.register("flip")
def flip(key: jax.Array, x: jax.Array) -> jax.Array:
    """Return images `[n, h, w, c]`, each mirrored left to right with probability 1/2. Not for digits or letters."""
    n, *_ = _images(x, "flip")
    mirrored = jax.random.bernoulli(key, 0.5, (n, 1, 1, 1))
    return jnp.where(mirrored, x[:, :, ::-1, :], x)


@AUGMENTATIONS.register("crop")
def crop(key: jax.Array, x: jax.Array, *, padding: int = 4) -> jax.Array:
    """Return images `[n, h, w, c]`, each padded by 4 zeros on every side and cut out at a random place."""
    _images(x, "crop")
    return _shifted(key, x, padding)
