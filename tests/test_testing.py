"""The conformance kit itself: good losses pass silently, each deliberate defect is caught by the check of its name."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.custom_partitioning import custom_partitioning

from tladapt import losses
from tladapt.testing import ConformanceError, check_loss


def means(source, target):
    """A good loss, and the base of the broken ones."""
    return jnp.sum((jnp.mean(source, axis=0) - jnp.mean(target, axis=0)) ** 2)


def weighted_means(source, target, source_weights=None, target_weights=None):
    def mean(x, w):
        if w is None:
            return jnp.mean(x, axis=0)
        return jnp.sum(w[:, None] * x, axis=0) / jnp.sum(w)

    return jnp.sum((mean(source, source_weights) - mean(target, target_weights)) ** 2)


def certain(logits):
    """A good loss of one batch."""
    return -jnp.mean(jnp.max(jax.nn.log_softmax(logits, axis=1), axis=1))


def test_good_losses_pass():
    check_loss(means)
    check_loss(weighted_means)
    check_loss(certain, kind="single")


@jax.custom_vjp
def backwards(x):
    return x


backwards.defvjp(lambda x: (x, None), lambda _, g: (-g,))


def two_numbers(source, target):
    return jnp.mean(source - jnp.mean(target, axis=0)[None, :], axis=0)


def an_integer(source, target):
    return jnp.int32(means(source, target))


def by_position(source, target):
    return jnp.mean((source - target) ** 2)


def halves(source, target):
    return jnp.mean(jnp.sum((source[: len(target)] - target[: len(source)]) ** 2, axis=1)) - 8.0


def without_gradient(source, target):
    return means(jax.lax.stop_gradient(source), jax.lax.stop_gradient(target))


def source_only(source, target):
    return means(source, jax.lax.stop_gradient(target))


def rounded(source, target):
    return means(jnp.round(source), jnp.round(target))


def through_numpy(source, target):
    return jnp.float32(np.mean(np.asarray(source)) - np.mean(np.asarray(target)))


def branching(source, target):
    value = means(source, target)
    return value if value > 1 else 2 * value


def reversed_gradient(source, target):
    return means(backwards(source), backwards(target))


def negative(source, target):
    return -means(source, target)


def blind(source, target):
    return jnp.mean(source**2) + jnp.mean(jnp.tanh(target) ** 2)


def offset(source, target):
    return means(source, target) + 100.0


def summed(source, target):
    return jnp.sum((source[:, None, :] - target[None, :, :]) ** 2) - 8.0 * len(source) * len(target)


def divided_twice(source, target):
    return means(source, target) / len(source)


def over_devices(source, target):
    """The mean over 8 devices of the discrepancy of what each holds."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:8]), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    part = jax.sharding.PartitionSpec("data")

    def local(source, target):
        return jax.lax.pmean(means(source, target), "data")

    return jax.shard_map(local, mesh=mesh, in_specs=(part, part), out_specs=jax.sharding.PartitionSpec())(
        source, target
    )


def over_chunks(source, target):
    """The same without devices: what a statistic per replica comes to."""
    return jnp.mean(jax.vmap(means)(source.reshape(8, -1, 8), target.reshape(8, -1, 8)))


def root(source, target):
    return jnp.sqrt(means(source, target))


def guarded_outside_only(source, target):
    distance = means(source, target)
    return jnp.where(distance > 0, jnp.sqrt(distance), 0.0)


def scaled_by_spread(source, target):
    spread = jnp.var(jnp.concatenate([source, target]))
    return means(source, target) / spread


def narrowed(source, target):
    return jnp.float16(means(source, target))


def padded_mean(source, target, source_weights=None, target_weights=None):
    """Masks, and forgets to divide by the number of examples that are left."""
    if source_weights is not None:
        source, target = source * source_weights[:, None], target * target_weights[:, None]
    return means(source, target)


calls = []


def counting(source, target):
    calls.append(None)
    return means(source, target) * (1.0 + 0.1 * len(calls))


@pytest.mark.parametrize(
    "loss,check,words",
    [
        (two_numbers, "value", "floating scalar"),
        (an_integer, "value", "int32"),
        (by_position, "value", "equal_sizes=True"),
        (without_gradient, "gradient", "no gradient reaches the source features"),
        (source_only, "gradient", "no gradient reaches the target features"),
        (rounded, "gradient", "no gradient reaches"),
        (through_numpy, "gradient", "stay in jax.numpy"),
        (branching, "gradient", "jnp.where"),
        (counting, "pure", "a counter, or randomness"),
        (reversed_gradient, "descent", "points away"),
        (negative, "shift", "minimised"),
        (blind, "equal", "expected 0"),
        (offset, "equal", "bias="),
        (halves, "permutation", "reordered"),
        (over_devices, "permutation", "within 8 equal blocks .*shard_map, pmap, or vmap"),
        (over_chunks, "permutation", "within 8 equal blocks .*shard_map, pmap, or vmap"),
        (summed, "mean", "a sum over examples"),
        (divided_twice, "mean", "a second division"),
        (guarded_outside_only, "degenerate", "inside the jnp.where"),
        (root, "degenerate", "not finite for"),
        (scaled_by_spread, "degenerate", "nan for all zeros"),
        (narrowed, "precision", "float16 out"),
        (padded_mean, "weights", "with weight 0 on them"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_defect_is_caught_by_its_check(loss, check, words):
    calls.clear()
    with pytest.raises(ConformanceError, match=f"check '{check}'.*{words}"):
        check_loss(
            loss,
            sizes=((32, 32),) if loss in (halves, over_devices, over_chunks) else ((32, 32), (17, 23)),
            bias=1e3 if loss is summed else 0,
        )


@custom_partitioning
def mean_of_this_device(x):
    """A mean over what one device holds: equal to the global mean on one device only."""
    return jnp.mean(x, axis=0)


def _partition(mesh, arguments, result):
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return mesh, lambda x: jnp.mean(x, axis=0), everywhere, (arguments[0].sharding,)


mean_of_this_device.def_partition(partition=_partition, sharding_rule="n d -> d", need_replication_factors=("n",))


@jax.custom_vjp
def local_mean(x):
    return mean_of_this_device(x)


local_mean.defvjp(
    lambda x: (mean_of_this_device(x), x), lambda x, g: (jnp.broadcast_to(g[None, :], x.shape) / x.shape[0],)
)


def test_a_statistic_of_each_device_is_caught():
    def per_device(source, target):
        return jnp.sum((local_mean(source) - local_mean(target)) ** 2)

    with pytest.raises(ConformanceError, match=r"check 'devices'.*split over 2"):
        check_loss(per_device)


@pytest.mark.parametrize("loss", [over_devices, over_chunks])
def test_a_loss_that_cuts_its_batch_fails_at_odd_sizes_with_that_cause(loss):
    with pytest.raises(ConformanceError, match=r"check 'value'.*32 examples and not 17.*one for each device"):
        check_loss(loss)


def test_a_loss_with_devices_of_its_own_is_told_so():
    def placed(source, target):
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("own",), axis_types=(jax.sharding.AxisType.Auto,))
        whole = jax.sharding.PartitionSpec()
        return jax.shard_map(means, mesh=mesh, in_specs=(whole, whole), out_specs=whole)(source, target)

    with pytest.raises(ConformanceError, match=r"check 'devices'.*a mesh or device of the loss's own"):
        check_loss(placed, sizes=((32, 32),))


def test_one_device_is_said(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    with pytest.warns(UserWarning, match=r"check 'devices' did not run.*jax_num_cpu_devices"):
        check_loss(means, sizes=((32, 32),))


def negative_cross_entropy(logits, labels):
    return -losses.cross_entropy(logits, labels)


def agreement(first, second):
    return -losses.classifier_discrepancy(first, second)


def negative_domains(source_logits, target_logits):
    return -losses.domain_adversarial(source_logits, target_logits)


@pytest.mark.parametrize(
    ("loss", "kind", "words"),
    [
        (negative_cross_entropy, "labelled", "for right classes is above"),
        (agreement, "aligned", "for equal predictions is above"),
        (negative_domains, "domains", "for an undecided discriminator is above"),
    ],
)
def test_a_wrong_sign_is_caught_where_the_kind_tells_it(loss, kind, words):
    with pytest.raises(ConformanceError, match=f"check 'sign'.*{words}.*the wrong sign"):
        check_loss(loss, kind=kind, sizes=((32, 32),))


def test_a_teacher_with_a_gradient_is_caught():
    def leaky(student, teacher):
        return jnp.mean((jax.nn.softmax(student) - jax.nn.softmax(teacher)) ** 2)

    check_loss(leaky, kind="aligned")
    with pytest.raises(ConformanceError, match="second logits get a gradient"):
        check_loss(leaky, kind="aligned", no_gradient=(1,))


def test_a_wrong_formula_is_caught_by_the_reference():
    with pytest.raises(ConformanceError, match="check 'reference'"):
        check_loss(means, reference=lambda s, t: 2 * ((s.mean(0) - t.mean(0)) ** 2).sum())


def test_a_logarithm_of_a_saturated_softmax_is_caught():
    def unguarded(logits):
        p = jax.nn.softmax(logits, axis=1)
        return -jnp.mean(jnp.sum(p * jnp.log(p), axis=1))

    with pytest.raises(ConformanceError, match=r"check 'degenerate'.*log"):
        check_loss(unguarded, kind="single")


def test_unequal_sizes_have_to_be_refused_where_equal_ones_are_needed():
    def refuses(source, target):
        if source.shape != target.shape:
            raise ValueError("equal sizes, please")
        return means(source, target)

    check_loss(refuses, equal_sizes=True)
    with pytest.raises(ConformanceError, match="passed in silence"):
        check_loss(means, equal_sizes=True)

    def crashes(source, target):
        return means(source, target) + 0 * jnp.sum(source - target)

    with pytest.raises(ConformanceError, match=r"check 'value'.*TypeError.*Refuse unequal sizes"):
        check_loss(crashes, equal_sizes=True)


def test_weights_are_found_in_the_signature_and_can_be_left_out():
    with pytest.raises(ConformanceError, match="check 'weights'"):
        check_loss(padded_mean)
    check_loss(padded_mean, weights=False)


def test_a_known_bias_can_be_stated():
    with pytest.raises(ConformanceError, match="check 'equal'"):
        check_loss(functools.partial(losses.mk_mmd, estimator="biased"), tolerance=0.01)
    check_loss(functools.partial(losses.mk_mmd, estimator="biased"), tolerance=0.1, bias=0.5, weights=False)


def test_it_is_an_assertion_and_keeps_the_cause():
    assert issubclass(ConformanceError, AssertionError)
    with pytest.raises(ConformanceError) as caught:
        check_loss(through_numpy)
    assert isinstance(caught.value.__cause__, jax.errors.TracerArrayConversionError)


def test_unknown_kind_is_told():
    with pytest.raises(ValueError, match="pair, domains, single, aligned, labelled"):
        check_loss(means, kind="triple")
