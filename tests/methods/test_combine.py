"""Methods combined: terms add, the source's cross entropy counts once, heads, memories and randomness stay apart."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.methods.toy import gradients, moment
from tladapt import Method, methods
from tladapt.errors import UsageError
from tladapt.methods import Logged, Term, classification


@dataclasses.dataclass(frozen=True, kw_only=True)
class First(Method):
    """A method with a head, a memory, randomness and a term, all under names that another one uses, too."""

    start: float = 1.0

    def heads(self, sizes, rngs):
        return {"critic": nnx.Linear(sizes.features, 1, rngs=rngs)}

    def memory(self, start):
        return {"count": jnp.float32(self.start), "drawn": jax.random.uniform(start.key)}

    def loss(self, ctx):
        gap = jnp.mean(ctx.heads["critic"](ctx.source.features)) - jnp.mean(ctx.heads["critic"](ctx.target.features))
        terms = {
            "classification": classification(ctx),
            "gap": Term(gap**2, self.start),
            "drawn": Logged(jax.random.uniform(ctx.key("draw"))),
        }
        return terms, {"seen": ctx.memory["count"]}

    def after_step(self, ctx):
        return {**ctx.memory, "count": ctx.aux["seen"] + self.start}

    def refresh(self, ctx, outputs):
        return {**ctx.memory, "count": -ctx.memory["count"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Second(First):
    """The same under another name."""

    start: float = 10.0


def test_the_gradients_add_and_the_cross_entropy_counts_once():
    dann, mmd = methods.dann(hidden=(8,)), methods.mmd(weight=0.5)
    both, first, second = gradients(methods.combine(dann, mmd)), gradients(dann), gradients(mmd)
    # Without adaptation, on the same joint forward.
    bare = gradients(methods.discrepancy(lambda source, target: jnp.float32(0.0)))
    for block in ("backbone", "bottleneck", "classifier"):
        for all_of_it, a, b, counted_twice in zip(both[block], first[block], second[block], bare[block], strict=True):
            np.testing.assert_allclose(all_of_it, a + b - counted_twice, rtol=1e-4, atol=1e-6)
    for left, right in zip(both["dann.discriminator"], first["discriminator"], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)


def test_methods_of_the_same_words_are_kept_apart():
    found = moment(methods.combine(First(), Second()))
    assert {"first.critic", "second.critic"} <= set(found.state.params)
    assert float(found.state.memory["first"]["drawn"]) != float(found.state.memory["second"]["drawn"])
    state, log = found.go()
    assert float(log["weight/gap"]) == 1.0 and float(log["weight/second/gap"]) == 10.0
    assert float(log["loss/gap"]) != float(log["loss/second/gap"])
    assert float(log["drawn"]) != float(log["second/drawn"])
    assert float(state.memory["first"]["count"]) == 2.0 and float(state.memory["second"]["count"]) == 20.0
    ctx = dataclasses.replace(_context(), memory=state.memory)
    memory = methods.combine(First(), Second()).refresh(ctx, None)
    assert float(memory["first"]["count"]) == -2.0 and float(memory["second"]["count"]) == -20.0


def _context():
    fields = {field.name: None for field in dataclasses.fields(methods.Context)}
    return methods.Context(**{**fields, "heads": {}, "aux": {}, "random_key": jax.random.key(0)})


def test_both_lambdas_are_logged():
    _, log = moment(methods.combine(methods.dann(hidden=(8,)), methods.mmd(weight=0.5))).go()
    np.testing.assert_allclose(float(log["mmd/lambda"]), 0.5 * float(log["lambda"]), rtol=1e-6)


def test_the_name_and_the_needs_are_those_of_the_methods():
    class Viewed(First):
        needs = frozenset({"views"})
        augmentation = "noise"

    combined = methods.combine(methods.mmd(), Viewed())
    assert (combined.name, combined.needs, combined.augmentation) == ("mmd+viewed", {"views"}, "noise")
    assert moment(combined).assembly.parts.augment == "noise"
    assert methods.combine(methods.mmd(), methods.dann()).augmentation == "none"


class Flipped(First):
    augmentation = "flip"


class Noisy(First):
    augmentation = "noise"


class Narrow(First):
    def bottleneck(self, features, rngs):
        return nnx.Linear(features, 2, rngs=rngs)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((methods.dann(), methods.mcd()), r"'mcd' has 1 stage\(s\) and 3 update\(s\)"),
        ((methods.shot(), methods.dann()), r"'shot' has 2 stage\(s\) and 2 update\(s\)"),
        ((methods.dann(), methods.mean_teacher()), "'mean_teacher': it predicts, or trains, in a way of its own"),
        ((methods.dann(), methods.target_only()), "'target_only': it predicts, or trains"),
        ((methods.dann(), Narrow()), "'narrow': it prescribes its own bottleneck"),
        ((Flipped(), Noisy()), r"different augmentations \['flip', 'noise'\]"),
        ((methods.dann(), methods.dann(weight=0.5)), "takes each method once"),
        ((methods.dann(),), "two methods or more, got 1"),
        ((methods.dann(), "mmd"), r"such as tladapt.methods.dann\(\), got 'mmd'"),
    ],
)
def test_what_cannot_be_combined_is_refused_in_words(parts, words):
    with pytest.raises(UsageError, match=words):
        methods.combine(*parts)
