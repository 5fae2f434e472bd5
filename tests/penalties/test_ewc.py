"""Elastic weight consolidation: the Fisher information against closed forms, and what holding on to it does."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tests.methods.toy import moment, same
from tests.training import problems
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.models.weights import load_arrays
from tladapt.penalties import EWC, PENALTIES, PenaltyStart, fisher_information
from tladapt.training.assemble import assemble

CLASSES = 3
PARAMS = {"backbone": {"kernel": jnp.array([[0.5, -0.2], [0.3, 0.8]])}, "classifier": {"bias": jnp.array([0.1, -0.4])}}


def linear(params, x):
    return x @ params["kernel"] + params["bias"][None, :]


def two_blocks(params, x):
    return linear({**params["backbone"], **params.get("classifier", PARAMS["classifier"])}, x)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def problem(n=7, d=4, seed=0):
    rng = np.random.default_rng(seed)
    params = {"kernel": rng.normal(size=(d, CLASSES)), "bias": rng.normal(size=CLASSES)}
    return {k: jnp.asarray(v, jnp.float32) for k, v in params.items()}, rng.normal(size=(n, d)).astype(np.float32)


def closed_form(params, x):
    """p_c (1 - p_c) x_i^2 for the kernel, p_c (1 - p_c) for the bias, in float64."""
    p = softmax(
        x.astype(np.float64) @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"], np.float64)
    )
    v = p * (1 - p)  # [n, C]
    return {"kernel": np.einsum("nd,nc->dc", x.astype(np.float64) ** 2, v) / len(x), "bias": v.mean(axis=0)}


def agree(found, wanted, **tolerance):
    for name in wanted:
        np.testing.assert_allclose(np.asarray(found[name]), wanted[name], **tolerance)


def start(params=PARAMS, *, logits=two_blocks, earlier=None, n=8, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)).astype(np.float32), np.arange(n) % 2
    return PenaltyStart(
        params=params,
        logits={"source": logits, "target": logits},
        source=lambda count: (x[:count], y[:count]),
        target=lambda count: 2.0 * x[:count],
        key=jax.random.key(0),
        earlier=earlier,
    )


# ---- the Fisher information ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 3, 16])  # 7 examples: blocks that are filled up, and one that is larger than all
def test_all_classes_give_the_closed_form_of_a_linear_softmax(block):
    params, x = problem()
    agree(fisher_information(linear, params, x, block=block), closed_form(params, x), rtol=2e-5)


def test_it_is_the_closed_form_of_a_logistic_model():
    w, x = jnp.array([0.7, -0.3], jnp.float32), np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)

    def logits(w, x):
        return jnp.stack([jnp.zeros(len(x)), x @ w], axis=1)

    p = 1 / (1 + np.exp(-x.astype(np.float64) @ np.asarray(w, np.float64)))
    wanted = np.mean((p * (1 - p))[:, None] * x.astype(np.float64) ** 2, axis=0)
    np.testing.assert_allclose(fisher_information(logits, w, x), wanted, rtol=2e-5)


def test_it_is_not_the_square_of_the_mean_gradient():
    params, x = problem(n=2)
    x[1] = -x[0]  # with a bias of 0 and these inputs the mean of all gradients of one class nearly cancels
    found = fisher_information(linear, params, x, labels="empirical", y=np.array([0, 0]))
    gradients = [jax.grad(lambda p, x=x[i : i + 1]: jax.nn.log_softmax(linear(p, x))[0, 0])(params) for i in range(2)]
    wanted = {k: np.mean([np.square(g[k]) for g in gradients], axis=0) for k in params}
    agree(found, wanted, rtol=1e-5)
    squared_mean = np.square(np.mean([g["kernel"] for g in gradients], axis=0))
    assert np.max(np.abs(squared_mean - wanted["kernel"])) > 0.1 * np.max(wanted["kernel"])


def test_many_samples_have_the_mean_of_all_classes():
    params, x = problem(n=2)
    many = np.repeat(x, 4000, axis=0)
    sampled = fisher_information(linear, params, many, labels="sample", key=jax.random.key(3), block=500)
    agree(sampled, closed_form(params, x), rtol=0.1, atol=2e-3)
    again = fisher_information(linear, params, many, labels="sample", key=jax.random.key(4), block=500)
    assert np.any(np.asarray(again["kernel"]) != np.asarray(sampled["kernel"]))


def test_empirical_is_true_in_expectation_where_the_model_is_right():
    params, x = problem(n=2)
    many = np.repeat(x, 4000, axis=0)
    rng = np.random.default_rng(0)
    p = softmax(np.asarray(linear(params, many), np.float64))
    y = np.array([rng.choice(CLASSES, p=row) for row in p])
    agree(
        fisher_information(linear, params, many, labels="empirical", y=y, block=500),
        closed_form(params, x),
        rtol=0.1,
        atol=2e-3,
    )


def test_every_example_twice_changes_nothing_and_neither_does_the_order():
    params, x = problem()
    once = fisher_information(linear, params, x, block=2)
    agree(fisher_information(linear, params, np.concatenate([x, x[::-1]]), block=4), once, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "wide", "tolerance"), [("float32", "float32", 2e-5), ("bfloat16", "float32", 0.05)])
def test_sums_are_wide_whatever_the_parameters_are(dtype, wide, tolerance):
    params, x = problem()
    narrow = jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    def logits(params, x):
        return linear(params, x.astype(dtype))

    found = fisher_information(logits, narrow, x)
    assert all(leaf.dtype == wide for leaf in jax.tree.leaves(found))
    agree(found, closed_form(narrow, x), rtol=tolerance, atol=tolerance / 10)


def test_memory_is_that_of_a_block_and_not_of_all_examples():
    wide = {"kernel": jnp.ones((64, 256)), "bias": jnp.zeros(256)}

    def bytes_of(n, block):
        # What is compiled is seen through the compiler's own account.
        x = np.ones((n, 64), np.float32)
        seen = {}

        def spy(fn, **options):
            made = jax.jit(fn)

            def call(*arguments):
                seen["bytes"] = made.lower(*arguments).compile().memory_analysis().temp_size_in_bytes
                return arguments[1]

            return call

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tladapt.penalties.ewc.compiled", spy)
            fisher_information(linear, wide, x, labels="sample", key=jax.random.key(0), block=block)
        return seen["bytes"]

    gradient = 4 * 65 * 256
    few, many = bytes_of(16, 4), bytes_of(256, 4)
    assert many < few + gradient  # sixteen times the examples
    assert bytes_of(256, 64) > many + 30 * gradient  # sixteen times the block


def test_what_is_needed_is_asked_for():
    params, x = problem()
    with pytest.raises(UsageError, match="needs y, the true classes"):
        fisher_information(linear, params, x, labels="empirical")
    with pytest.raises(UsageError, match="needs key="):
        fisher_information(linear, params, x, labels="sample")


# ---- the penalty -----------------------------------------------------------------------------------------------------


def test_it_is_zero_with_zero_gradient_at_the_anchor_and_the_formula_away_from_it():
    penalty = EWC(weight=3.0)
    memory = penalty.prepare(start())
    value, gradient = jax.value_and_grad(penalty.value)(PARAMS, memory)
    assert float(value) == 0.0
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(gradient))
    away = jax.tree.map(lambda leaf: leaf + 0.5, PARAMS)
    value, gradient = jax.value_and_grad(penalty.value)(away, memory)
    total = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(memory["fisher"]))
    assert total > 0.0
    np.testing.assert_allclose(value, 0.5 * 3.0 * total * 0.25, rtol=1e-5)
    for leaf, fisher in zip(jax.tree.leaves(gradient), jax.tree.leaves(memory["fisher"]), strict=True):
        np.testing.assert_allclose(leaf, 3.0 * fisher * 0.5, rtol=1e-5)


def test_the_classifier_can_be_left_alone():
    memory = EWC(classifier=False).prepare(start())
    assert set(memory["anchor"]) == set(memory["fisher"]) == {"backbone"}


def test_online_it_takes_what_is_handed_on_and_adds_the_targets():
    penalty = EWC(weight=2.0, decay=0.5)
    first = penalty.prepare(start())
    moved = jax.tree.map(lambda leaf: leaf + 0.1, PARAMS)
    carried = penalty.carry(start(moved), first)
    x = start().target(8)
    target = fisher_information(two_blocks, moved, x)
    for old, new, sum_ in zip(*map(jax.tree.leaves, (first["fisher"], target, carried["fisher"])), strict=True):
        np.testing.assert_allclose(sum_, 0.5 * old + new, rtol=1e-5)
    second = penalty.prepare(start(moved, earlier=carried))
    assert same(second["anchor"], moved) and same(second["fisher"], carried["fisher"])
    away = jax.tree.map(lambda leaf: leaf + 1.0, moved)
    total = sum(float(jnp.sum(leaf)) for leaf in jax.tree.leaves(second["fisher"]))
    np.testing.assert_allclose(penalty.value(away, second), 0.5 * 2.0 * 0.5 * total, rtol=1e-5)  # decay in the penalty


def test_without_a_decay_nothing_is_handed_on_and_what_was_is_left_aside():
    penalty = EWC()
    memory = penalty.prepare(start())
    assert penalty.carry(start(), memory) is None
    other = jax.tree.map(lambda leaf: leaf + 9.0, memory)
    assert same(penalty.prepare(start(earlier=other)), memory)


def test_what_was_handed_on_by_another_model_is_refused():
    penalty = EWC(decay=1.0)
    earlier = {"fisher": {"backbone": {"kernel": jnp.ones((2, 3))}}}
    with pytest.raises(UsageError, match=r"there is none for backbone/kernel, classifier/bias.*whole chain"):
        penalty.prepare(start(earlier=earlier))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": -1.0}, "weight must be 0 or more"),
        ({"weight": float("nan")}, "weight must be 0 or more"),
        ({"labels": "true"}, "labels must be 'classes', 'sample' or 'empirical', got 'true'"),
        ({"decay": 0.0}, r"decay must be in \(0, 1\], or none"),
        ({"decay": 1.0, "labels": "empirical"}, "needs true labels"),
        ({"examples": 0}, "examples must be a whole number from 1 on"),
        ({"block": 0}, "block must be a whole number from 1 on"),
    ],
)
def test_fields_out_of_range_are_refused(fields, words):
    with pytest.raises(UsageError, match=words):
        EWC(**fields)


def test_it_goes_by_its_name():
    assert PENALTIES["ewc"] is EWC
    assert tladapt.Config(penalty="ewc").resolved().penalty == EWC()


# ---- in a run --------------------------------------------------------------------------------------------------------


def test_weight_zero_is_no_penalty_bit_for_bit():
    there, here = (
        tladapt.run(dataclasses.replace(CONFIG, method="dann", steps=10, penalty=penalty), problems.scenario())
        for penalty in (EWC(weight=0.0), None)
    )
    assert not problems.differing(there.weights._asdict(), here.weights._asdict())
    assert there.metrics["target/accuracy"] == here.metrics["target/accuracy"]


@pytest.mark.parametrize("method", ["mean_teacher", "mcd", "shot"])
def test_it_goes_with_methods_of_every_kind(method):
    made = methods.METHODS[method]()
    found = moment(made, stage=len(made.stages()) - 1, penalty=EWC(weight=5.0, examples=20), batch_norm=True)
    step = jax.jit(found.step)
    state, log = step(found.state, found.arrays, found.piece)
    assert float(log["loss/penalty"]) == 0.0
    after, log = step(state, found.arrays, found.piece)
    assert float(log["loss/penalty"]) > 0.0 and np.isfinite(float(log["loss/penalty"]))
    assert same(after.penalty, found.state.penalty)


CONFIG = problems.config("source_only", backbone=problems.NORMAL, evaluations=1, steps=20)
ADAPT = dataclasses.replace(
    CONFIG, method=methods.shot(source_share=0.0, width=4, refreshes=1), batchnorm="frozen", steps=30
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A source model of SHOT's form."""
    config = dataclasses.replace(ADAPT, method=methods.shot(source_share=1.0, width=4), batchnorm=None)
    return tladapt.run(config, problems.scenario(), out=tmp_path_factory.mktemp("runs") / "source")


@pytest.fixture(scope="module")
def chain(source, tmp_path_factory):
    """Two runs of online EWC after it, on two targets."""
    config = dataclasses.replace(ADAPT, penalty=EWC(weight=10.0, decay=0.5), init=source.folder)
    folder = tmp_path_factory.mktemp("chain")
    first = tladapt.run(config, problems.scenario(), out=folder / "first")
    return first, dataclasses.replace(config, init=first.folder)


def test_the_anchor_is_the_earlier_run_and_the_true_fisher_needs_no_label(source):
    config = dataclasses.replace(ADAPT, penalty=EWC(), init=source.folder)
    state = assemble(config, problems.scenario(), 0).state
    assert not problems.differing(state.penalty["anchor"], {k: state.params[k] for k in state.penalty["anchor"]})
    shuffled = problems.scenario()
    shuffled.source[0].y[:] = shuffled.source[0].y[::-1]
    assert not problems.differing(assemble(config, shuffled, 0).state.penalty, state.penalty)
    empirical = dataclasses.replace(config, penalty=EWC(labels="empirical"))
    assert problems.differing(assemble(empirical, shuffled, 0).state.penalty, state.penalty)


def test_a_larger_weight_keeps_parameters_closer(source):
    def moved(weight):
        config = dataclasses.replace(ADAPT, penalty=EWC(weight=weight), init=source.folder)
        after = tladapt.run(config, problems.scenario()).weights.params
        before = source.weights.params
        return sum(float(np.sum(np.square(a - b))) for a, b in zip(*map(jax.tree.leaves, (after, before)), strict=True))

    free, held, tight = moved(0.0), moved(10.0), moved(100.0)
    assert tight < 0.5 * held < 0.5 * free


def test_a_chain_hands_its_fisher_on_in_the_run_folder(source, chain):
    first, config = chain
    assert not (source.folder / "model" / "penalty.safetensors").exists()
    handed = load_arrays(first.folder / "model" / "penalty.safetensors")
    state = assemble(config, problems.scenario(), 0).state
    kept = problems.arrays(state.penalty["fisher"])
    assert {f"ewc/fisher/{name}" for name in kept} == set(handed)
    assert all(np.array_equal(handed[f"ewc/fisher/{name}"], leaf) for name, leaf in kept.items())
    assert not problems.differing(state.penalty["anchor"]["backbone"], first.weights.params["backbone"])
    # It holds more than the target's own: half of what was taken on the source is in it.
    own = assemble(dataclasses.replace(config, init=source.folder), problems.scenario(), 0).state.penalty["fisher"]
    assert all(np.all(kept[name] >= 0.5 * leaf * 0.999) for name, leaf in problems.arrays(own).items())


def test_labels_of_the_target_are_not_in_what_is_handed_on(chain, tmp_path):
    first, _ = chain
    hidden = problems.scenario(labelled=False)
    config = dataclasses.replace(first.config, validator="im")
    again = tladapt.run(config, hidden, out=tmp_path / "hidden")
    there, here = (load_arrays(run.folder / "model" / "penalty.safetensors") for run in (first, again))
    assert not problems.differing(there, here)


def test_an_interrupted_run_hands_on_the_same(chain, tmp_path):
    first, _ = chain
    with pytest.raises(problems.Stopped):
        tladapt.run(first.config, problems.scenario(), out=tmp_path / "a", callbacks=[problems.stop("train", 15)])
    tladapt.run(first.config, problems.scenario(), out=tmp_path / "a", resume=True)
    names = ("model/penalty.safetensors", "model/model.safetensors", "summary.json")
    assert all((tmp_path / "a" / name).read_bytes() == (first.folder / name).read_bytes() for name in names)


def test_a_run_that_starts_from_nothing_is_told_so():
    config = dataclasses.replace(CONFIG, penalty="ewc")
    assert "holds the model to random parameters" in assemble(config, problems.scenario(), 0).notes[0]
