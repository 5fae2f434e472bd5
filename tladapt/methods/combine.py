"""Several methods as one: their terms are added."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.methods.base import Context, Method, PyTree, Sizes, Stage, Start, Terms
from tladapt.models import Outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Combined(Method):
    """The sum of the terms of several methods; made by `tladapt.methods.combine`.

    L = CE_s + sum over methods and their other terms, each with the weight that its method gives it.

    Which parameters move: those that each term moves in its own method; heads and memories are kept apart by the
    method's name, and randomness too.

    Logged: what the methods log; where two have one name, the later one's carries its method's name ("mmd/lambda").
    """

    methods: tuple[Method, ...]
    """The methods, each with one stage and one update that moves everything."""

    name: ClassVar[str] = "combined"

    def __post_init__(self) -> None:
        if len(self.methods) < 2:
            raise UsageError(f"combine(...) needs two methods or more, got {len(self.methods)}.")
        names = [method.name for method in self.methods]
        if len(set(names)) < len(names):
            raise UsageError(f"combine(...) takes each method once, got {names}.")
        for method in self.methods:
            stages = method.stages()
            updates = [update for stage in stages for update in method.updates(stage)]
            if len(stages) != 1 or len(updates) != 1 or updates[0].moves != ("all",) or updates[0].repeat != 1:
                raise UsageError(
                    f"combine(...) adds the terms of methods that have one stage and one update; {method.name!r} has"
                    f" {len(stages)} stage(s) and {len(updates)} update(s) in all. Train it on its own."
                )
            if type(method).predict is not Method.predict or "oracle" in method.needs:
                raise UsageError(
                    f"combine(...) cannot take {method.name!r}: it predicts, or trains, in a way of its own."
                )
            for hook in ("bottleneck", "classifier"):
                if getattr(type(method), hook) is not getattr(Method, hook):
                    raise UsageError(f"combine(...) cannot take {method.name!r}: it prescribes its own {hook}.")
        views = {method.augmentation for method in self.methods if method.augmentation != "none"}
        if len(views) > 1:
            raise UsageError(f"combine(...): the methods ask for different augmentations {sorted(views)}.")
        # What is a class's elsewhere is this object's: it depends on what is combined.
        object.__setattr__(self, "name", "+".join(names))
        object.__setattr__(self, "needs", frozenset().union(*(method.needs for method in self.methods)))
        object.__setattr__(self, "augmentation", views.pop() if views else "none")
        ranges = {f"{method.name}.{field}": each for method in self.methods for field, each in method.ranges.items()}
        object.__setattr__(self, "ranges", ranges)
        object.__setattr__(self, "improves", frozenset().union(*(method.improves for method in self.methods)))
        object.__setattr__(self, "target_statistics", any(method.target_statistics for method in self.methods))

    def _own(self, ctx: Context, method: Method) -> Context:
        prefix = method.name + "."
        heads = {name.removeprefix(prefix): head for name, head in ctx.heads.items() if name.startswith(prefix)}
        return dataclasses.replace(
            ctx,
            heads=heads,
            memory=ctx.memory[method.name],
            aux=ctx.aux.get(method.name, {}),
            random_key=ctx.key(method.name),
        )

    def heads(self, sizes: Sizes, rngs: nnx.Rngs) -> Mapping[str, nnx.Module]:
        return {
            f"{method.name}.{name}": head for method in self.methods for name, head in method.heads(sizes, rngs).items()
        }

    def memory(self, start: Start) -> PyTree:
        keys = jax.random.split(start.key, len(self.methods))
        return {
            method.name: method.memory(dataclasses.replace(start, key=key))
            for method, key in zip(self.methods, keys, strict=True)
        }

    def stages(self) -> tuple[Stage, ...]:
        own = [method.stages()[0] for method in self.methods]
        return (
            Stage(
                source=any(stage.source for stage in own),
                target=any(stage.target for stage in own),
                refresh=max(stage.refresh for stage in own),
            ),
        )

    def loss(self, ctx: Context) -> tuple[Terms, Mapping[str, PyTree]]:
        terms: dict[str, Any] = {}
        aux: dict[str, PyTree] = {}
        for method in self.methods:
            [update] = method.updates(method.stages()[0])
            result = update.loss(self._own(ctx, method))
            own, aux[method.name] = result if isinstance(result, tuple) else (result, {})
            for name, term in own.items():
                if name == "classification":
                    terms.setdefault(name, term)
                else:
                    terms[name if name not in terms else f"{method.name}/{name}"] = term
        return terms, aux

    def after_step(self, ctx: Context) -> PyTree:
        return {method.name: method.after_step(self._own(ctx, method)) for method in self.methods}

    def refresh(self, ctx: Context, outputs: Outputs) -> PyTree:
        return {method.name: method.refresh(self._own(ctx, method), outputs) for method in self.methods}

    def predict(self, ctx: Context, x: jax.Array, domain: Literal["source", "target"]) -> Outputs:
        return Method.predict(self, ctx, x, domain)


def combine(*methods: Method) -> Combined:
    """Return the method whose objective is the sum of the terms of `methods`.

    The source's cross entropy, the term "classification", counts once: the first method's.

    Args:
      *methods: two or more, of different names, each with one stage, one update, and the model's own prediction.

    Raises:
      UsageError: for a method with several stages or updates, its own prediction, bottleneck or classifier.

    Example:
      >>> from tladapt import methods
      >>> methods.combine(methods.dann(), methods.mmd(weight=0.1)).name
      'dann+mmd'
    """
    for method in methods:
        if not isinstance(method, Method):
            raise UsageError(f"combine(...) takes methods such as tladapt.methods.dann(), got {method!r}.")
    return Combined(methods=tuple(methods))
