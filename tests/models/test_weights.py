"""safetensors files: exact round trips, one error for everything that does not fit, damage told apart."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from tladapt.errors import DamagedDataError, MissingDataError, UsageError
from tladapt.models import DigitsCNN, build_model, weights


def tree():
    generator = np.random.default_rng(0)
    return {
        "backbone": {
            "kernel": jnp.asarray(generator.normal(size=(3, 2)), jnp.float32),
            "half": jnp.asarray(generator.normal(size=5), jnp.bfloat16),
        },
        "list": [jnp.arange(3), np.float64(2.5), (jnp.asarray(True), np.asfortranarray(np.arange(6.0).reshape(2, 3)))],
        "strange": jnp.array([np.nan, np.inf, -0.0, 1e-45], jnp.float32),
        "empty": np.zeros((0, 3), np.float32),
    }


def assert_same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_round_trip_to_the_bit(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(path, tree(), metadata={"made": "here"})
    assert_same(weights.load(path, tree()), tree())
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]
    flat = weights.load_arrays(path)
    assert list(flat) == sorted(weights.flatten(tree())) and flat["backbone/half"].dtype == jnp.bfloat16


def test_other_readers_read_it(tmp_path):
    weights.save(tmp_path / "a.safetensors", {"a": {"b": jnp.arange(3.0)}}, metadata={"made": "here"})
    np.testing.assert_array_equal(safetensors.numpy.load_file(tmp_path / "a.safetensors")["a/b"], np.arange(3.0))
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"made": "here"}


def test_a_model_through_a_file(tmp_path):
    models = [build_model(DigitsCNN(dropout=0.5), (16, 16, 1), 10, rngs=nnx.Rngs(seed)) for seed in (0, 1)]
    kept = nnx.Any(nnx.Param, nnx.BatchStat)
    weights.save(tmp_path / "a.safetensors", nnx.state(models[0], kept))
    state = nnx.state(models[1], kept)
    nnx.replace_by_pure_dict(state, weights.load(tmp_path / "a.safetensors", state))
    nnx.update(models[1], state)
    for model in models:
        model.eval()
    x = jnp.ones((2, 16, 16, 1))
    np.testing.assert_array_equal(models[0](x).logits, models[1](x).logits)
    with pytest.raises(UsageError, match="a random key"):
        weights.save(tmp_path / "b.safetensors", models[0])
    assert not (tmp_path / "b.safetensors").exists()


def test_shapes_are_enough_to_load(tmp_path):
    weights.save(tmp_path / "a.safetensors", tree())
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), np.asarray(leaf).dtype), tree())
    assert_same(weights.load(tmp_path / "a.safetensors", like), tree())


def test_everything_that_does_not_fit_is_listed_at_once(tmp_path):
    path = tmp_path / "a.safetensors"
    weights.save(path, {"a": jnp.zeros((3, 8)), "b": jnp.zeros(2), "extra": {"x": jnp.zeros(1)}, "same": jnp.zeros(1)})
    like = {"a": jnp.zeros((3, 9)), "b": jnp.zeros(2, jnp.bfloat16), "gone": {"y": jnp.zeros(4)}, "same": jnp.zeros(1)}
    with pytest.raises(UsageError) as error:
        weights.load(path, like)
    message = str(error.value)
    for words in (
        "4 of 5 arrays",
        "missing: gone/y float32[4]",
        "left over: extra/x float32[1]",
        "different: a is float32[3, 8] in the file, float32[3, 9] is needed",
        "different: b is float32[2] in the file, bfloat16[2] is needed",
        str(path),
    ):
        assert words in message
    assert "same" not in message.replace("the same backbone", "")


def test_damage_is_told_apart_from_absence(tmp_path):
    path = tmp_path / "a.safetensors"
    weights.save(path, tree())
    content = path.read_bytes()
    for damaged in (content[:-1], content[:20], b"", b"not at all" * 20, content + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedDataError, match="not a whole safetensors file"):
            weights.load(path, tree())
    with pytest.raises(MissingDataError, match="No weights at"):
        weights.load(tmp_path / "none.safetensors", tree())
    with pytest.raises(MissingDataError, match="is a folder"):
        weights.load(tmp_path, tree())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    weights.save(path, {"a": jnp.zeros(2)})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        weights.save(path, {"a": jnp.ones(2)})
    monkeypatch.undo()
    np.testing.assert_array_equal(weights.load_arrays(path)["a"], np.zeros(2))
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_what_cannot_be_kept_is_listed(tmp_path):
    with pytest.raises(UsageError, match=r"cannot hold these:\n  key: a random key.*\n  words: str"):
        weights.save(tmp_path / "a.safetensors", {"key": jax.random.key(0), "words": "no"})


def test_flat_keys():
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert weights.flatten(nested) == {"a/b": 1, "a/c/d": 2, "e": 3}
    assert weights.unflatten(weights.flatten(nested)) == nested
    with pytest.raises(UsageError, match="cannot name"):
        weights.flatten({"a/b": 1})
    for clash in ({"a": 1, "a/b": 2}, {"a/b": 1, "a": 2}):
        with pytest.raises(UsageError, match="make no tree"):
            weights.unflatten(clash)
