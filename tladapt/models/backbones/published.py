"""What networks with published weights have in common: a chain of named stages, options as data, tables of names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone, check_image
from tladapt.models.layers import Linear
from tladapt.models.preprocessing import Preprocessing, check_normalization, normalize
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights.table import Table
from tladapt.registry import suggest

Stage = Callable[..., jax.Array]


def using(stage: Stage, *paths: str) -> Stage:
    """Return a stage that is a function, with the paths of the parameters that it uses, for `Chain.stage_paths`."""

    def told(*inputs: jax.Array) -> jax.Array:
        return stage(*inputs)

    told.paths = paths  # type: ignore[attr-defined]
    return told


class Chain(nnx.Module):
    """A network as a chain of named stages, each of which reads what the one before gives, and what `beside` returns.

    Attributes:
      out_features: width d of what the last stage gives.
      remat: whether stages are computed again in the backward pass instead of being kept: less memory, more time.
      compute_dtype: what networks that read integers compute in; others compute in the dtype of their input.
    """

    out_features: int
    remat: bool = False
    compute_dtype: Any = jnp.float32

    def stages(self) -> Iterator[tuple[str, Stage]]:
        """Yield the stages in order: the reference's name of each, and a module or function `(x, *beside) -> x`."""
        raise NotImplementedError(f"{type(self).__name__} must define stages(self).")

    def beside(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Return what every stage reads beside its input; by default nothing, in text networks the mask of `x`."""
        return ()

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return features `[n, d]` of inputs `[n, ...]`."""
        beside = self.beside(x)
        for _, stage in self.stages():
            x = self._apply(stage, x, *beside)
        return x

    def taps(self, x: jax.Array, names: Sequence[str]) -> dict[str, jax.Array]:
        """Return what the named stages give for inputs `[n, ...]`; later stages are not computed.

        Raises:
          UsageError: for a name that is none, with the close ones.
        """
        known = self.stage_names()
        for name in names:
            if name not in known:
                raise UsageError(f"{type(self).__name__} has no layer {name!r}.{suggest(name, known)}")
        found: dict[str, jax.Array] = {}
        beside = self.beside(x)
        for name, stage in self.stages():
            if len(found) == len(set(names)):
                break
            x = self._apply(stage, x, *beside)
            if name in names:
                found[name] = x
        return found

    def stage_names(self) -> tuple[str, ...]:
        """Return the names of the stages, in order."""
        return tuple(name for name, _ in self.stages())

    def stage_paths(self) -> tuple[tuple[str, str], ...]:
        """Return name and path of the stages with parameters, whose paths begin so, in order.

        A stage that uses several modules comes up once for each.
        """
        places = {id(part): path for path, part in nnx.iter_graph(self) if isinstance(part, nnx.Module)}
        found: list[tuple[str, str]] = []
        for name, stage in self.stages():
            if isinstance(stage, nnx.Module) and id(stage) in places:
                found.append((name, "/".join(map(str, places[id(stage)]))))
            found += [(name, path) for path in getattr(stage, "paths", ())]
        return tuple(found)

    def _apply(self, stage: Stage, *inputs: jax.Array) -> jax.Array:
        if self.remat and isinstance(stage, nnx.Module):
            return nnx.remat(lambda module, *inputs: module(*inputs))(stage, *inputs)
        return stage(*inputs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published(Backbone):
    """A backbone that has published weights. Its file holds the network and the tables of its weights' names."""

    normalize: str = "imagenet"
    """How images in [0, 1] become what the network reads: imagenet, inception, caffe, clip or none."""
    remat: bool = False
    """Compute blocks again in the backward pass instead of keeping their activations: less memory, more time."""

    companions: ClassVar[tuple[str, ...]] = ()
    """Small files that are published beside its weights, and are fetched with them."""
    family: ClassVar[str] = ""
    """The architecture that it is with other defaults, by the name of its class."""
    smallest: ClassVar[int] = 32
    """The smallest image that it reads, pixels a side."""
    size: ClassVar[int] = 224
    """The side of the images that it was published with, in pixels."""
    published_classes: ClassVar[int] = 1000
    """How many classes its classifier was published with."""
    classifier_reads: ClassVar[str] = ""
    """The stage that the published classifier reads; empty: the features."""

    def __post_init__(self) -> None:
        check_normalization(self.normalize)

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        """Return the network for inputs of a shape, as `prepare` gives them."""
        raise NotImplementedError(f"{type(self).__name__} must define network(self, shape, rngs=).")

    def tables(self) -> tuple[Table, ...]:
        """Return how tensors are called in the files that hold this network's weights, one table a library."""
        raise NotImplementedError(f"{type(self).__name__} must define tables(self).")

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        """Return a classifier like the published one: what `classifier_reads` says -> logits `[n, classes]`."""
        return Linear(features, classes, rngs=rngs)

    def prepare(self, x: jax.Array) -> jax.Array:
        """Return images `[n, h, w, c]` in [0, 1] as the network reads them: RGB, normalised; grey ones are repeated."""
        return normalize(x, self.normalize)

    def configured(self, folder: Path) -> Published:
        """Return this backbone with the options that files beside its weights ask for; by default as it is."""
        return self

    def reads(
        self, known: Preprocessing | TextPreprocessing | None, folder: Path | None
    ) -> Preprocessing | TextPreprocessing:
        """Return how raw data become inputs.

        Args:
          known: what registered weights were trained to read; None for others.
          folder: where the weights lie; None: nowhere.
        """
        usual = known if isinstance(known, Preprocessing) else Preprocessing(size=self.size)
        return dataclasses.replace(usual, normalize=self.normalize)

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        check_image(self.name, shape, self.smallest)
        if shape[2] not in (1, 3):
            raise UsageError(
                f"backbone {self.name!r} reads grey or RGB images [height, width, 1 or 3]; these have shape {shape}."
            )
        network = self.network((*shape[:2], 3), rngs=rngs)
        network.remat = self.remat
        return network


def variants(base: type[Published], named: Mapping[str, Mapping[str, Any]], summary: str) -> None:
    """Register a backbone for each name: `base` with other defaults.

    Args:
      base: an architecture.
      named: defaults of its fields, by the name that its library uses; `size` and what else is no field is set on the
        class.
      summary: one line, in which "{name}" and the fields stand for their values.
    """
    hints = {field.name: field for field in dataclasses.fields(base)}
    for name, options in named.items():
        values = {field.name: options.get(field.name, field.default) for field in hints.values()}
        constants = {key: value for key, value in options.items() if key not in hints}
        kind = dataclasses.make_dataclass(
            "".join(part.capitalize() for part in name.replace("-", "_").split("_")),
            [
                (field, hints[field].type, dataclasses.field(default=value))
                for field, value in options.items()
                if field in hints
            ],
            bases=(base,),
            namespace={
                **constants,
                "name": name,
                "family": base.__name__,
                "summary": summary.format(**{"size": base.size, **values, **constants, "name": name}),
                "__doc__": base.__doc__,
                "__module__": base.__module__,
            },
            frozen=True,
            kw_only=True,
        )
        BACKBONES.register(name)(kind)
