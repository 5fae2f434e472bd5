"""What users write themselves: an adversarial method as one class, a penalty, a validator, a schedule."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.methods.toy import config, gradients, moment, same, scenario
from tladapt import losses, methods
from tladapt.errors import UsageError
from tladapt.losses.schedules import LAMBDA_SCHEDULES
from tladapt.methods import Logged, Term, classification


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassAware(tladapt.Method):
    """DANN whose discriminator sees the class probabilities, too; no gradient flows through these."""

    weight: float = 1.0
    schedule: str = "ganin2016"

    def heads(self, sizes, rngs):
        return {"discriminator": nnx.Linear(sizes.features + sizes.classes, 1, rngs=rngs)}

    def loss(self, ctx):
        coefficient = self.weight * ctx.schedule(self.schedule)

        def judged(outputs):
            features = losses.gradient_reversal(outputs.features, coefficient)
            classes = jax.lax.stop_gradient(jax.nn.softmax(outputs.logits))
            return ctx.heads["discriminator"](jnp.concatenate([features, classes], axis=1))

        source, target = judged(ctx.source), judged(ctx.target)
        return {
            "classification": classification(ctx),
            "domain": Term(losses.domain_adversarial(source, target)),
            "discriminator/accuracy": Logged(losses.domain_accuracy(source, target)),
            "lambda": Logged(coefficient),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sparse(tladapt.Penalty):
    """weight |theta - theta_0|_1 of the backbone."""

    weight: float = 0.01

    def prepare(self, start):
        return start.params["backbone"]

    def value(self, params, memory):
        away = jax.tree.map(lambda now, then: jnp.sum(jnp.abs(now - then)), params["backbone"], memory)
        return self.weight * jax.tree.reduce(jnp.add, away)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confidence(tladapt.Validator):
    """The mean largest logit on the target."""

    name = "confidence"

    def score(self, outputs):
        return float(np.mean(np.max(outputs.target_logits, axis=1)))


def test_all_of_ones_own_works_in_a_run(monkeypatch):
    monkeypatch.setitem(LAMBDA_SCHEDULES, "late", lambda progress, step: jnp.where(progress < 0.5, 0.0, 1.0))
    method = ClassAware(weight=0.5, schedule="late")
    settings = dataclasses.replace(config(method, penalty=Sparse()), validator=Confidence())
    result = tladapt.run(settings, scenario())
    train = [row for row in result.history if row["kind"] == "train"]
    assert [row["lambda"] for row in train] == [0.0, 0.0, 0.0, 0.5, 0.5, 0.5]
    assert train[0]["gradient/domain"] == pytest.approx(0.0) and train[-1]["gradient/domain"] > 0.0
    assert train[-1]["loss/penalty"] > 0.0
    assert 0.0 <= train[-1]["discriminator/accuracy"] <= 1.0
    assert result.history[-1]["validator/confidence"] == pytest.approx(result.metrics["validator/confidence"])
    assert result.metrics["method"] == "class_aware"


def test_its_discriminator_descends_and_its_features_ascend(monkeypatch):
    with_reversal = gradients(ClassAware())
    bare = gradients(methods.discrepancy(lambda source, target: jnp.float32(0.0)))
    assert same(with_reversal["classifier"], bare["classifier"])
    monkeypatch.setattr(losses, "gradient_reversal", lambda x, coefficient: x)
    plain = gradients(ClassAware())
    assert all(
        np.array_equal(a, b) for a, b in zip(with_reversal["discriminator"], plain["discriminator"], strict=True)
    )
    for a, b, c in zip(with_reversal["backbone"], plain["backbone"], bare["backbone"], strict=True):
        np.testing.assert_allclose(a - c, -0.986614 * (b - c), rtol=1e-3, atol=1e-6)  # lambda at p = 0.5


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda self, ctx: {}, "returned no term"),
        (lambda self, ctx: {"only": Logged(1.0)}, "returned no term"),
        (
            lambda self, ctx: {"classification": classification(ctx), "v": Term(ctx.target.features)},
            r"term 'v' must be a",
        ),
        (
            lambda self, ctx: {"classification": classification(ctx), "learning_rate": Logged(1.0)},
            "the log has a 'learning_rate' of its own",
        ),
        (
            lambda self, ctx: {"classification": classification(ctx), "loss/classification": Logged(1.0)},
            "the log has a 'loss/classification' of its own",
        ),
    ],
)
def test_a_loss_that_is_none_is_refused_in_words(loss, words):
    own = type("Own", (tladapt.Method,), {"loss": loss})
    with pytest.raises(UsageError, match=words):
        moment(own()).go()


def test_a_term_called_penalty_is_not_taken_for_the_runs():
    own = type("Own", (tladapt.Method,), {"loss": lambda self, ctx: {"penalty": classification(ctx)}})
    moment(own()).go()
    with pytest.raises(UsageError, match="'penalty' is the run's penalty"):
        moment(own(), penalty="l2sp").go()


def test_a_second_forward_pass_drops_out_other_units():
    class Twice(methods.SourceOnly):
        def loss(self, ctx):
            first, second = (ctx.forward(ctx.source.x, domain="source").features for _ in range(2))
            return {"classification": classification(ctx), "apart": Logged(jnp.max(jnp.abs(first - second)))}

    for dropout in (0.0, 0.5):
        _, log = moment(Twice(), dropout=dropout).go()
        assert (float(log["apart"]) > 0) == (dropout > 0)


def test_a_method_without_a_loss_says_what_to_define():
    with pytest.raises(NotImplementedError, match=r"Empty must define loss\(self, ctx\)"):
        moment(type("Empty", (tladapt.Method,), {})()).go()


def test_heads_and_updates_must_not_take_or_miss_a_block():
    taken = type(
        "Taken", (methods.SourceOnly,), {"heads": lambda self, sizes, rngs: {"classifier": nnx.Linear(1, 1, rngs=rngs)}}
    )
    with pytest.raises(UsageError, match="a head cannot be called 'classifier'"):
        moment(taken())

    def updates(self, stage):
        return (methods.Update(self.loss, moves=("backbone", "critic")),)

    with pytest.raises(UsageError, match=r"moves 'critic', but the parameter blocks are backbone"):
        moment(type("Missed", (methods.SourceOnly,), {"updates": updates})()).go()


def test_randomness_has_names_and_views_are_independent():
    seen = {}

    class Curious(methods.SourceOnly):
        needs = frozenset({"views"})

        def loss(self, ctx):
            seen["keys"] = [jax.random.key_data(ctx.key(name)) for name in ("a", "a", "b")]
            seen["views"] = [ctx.view("source", name) for name in ("a", "a", "b")] + [ctx.source.x]
            return super().loss(ctx)

    moment(Curious()).go()
    first, again, other = seen["keys"]
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    first, again, other, given = seen["views"]
    assert np.array_equal(first, again) and not np.array_equal(first, other) and not np.array_equal(first, given)
