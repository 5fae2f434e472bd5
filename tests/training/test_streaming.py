"""Runs on domains that are read as they go: the same numbers, resumed to the same bits."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tests.training import problems
from tests.training.problems import Stopped, stop
from tladapt.data import Domain, Scenario, feed
from tladapt.training import assemble, dispatch
from tladapt.training.dispatch import Ahead, cut

pytest.importorskip("grain")


class Reader:
    """Examples that are read one by one."""

    def __init__(self, x: np.ndarray):
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.x[index]


def streamed() -> Scenario:
    small = problems.scenario()
    source, test = (Domain(Reader(one.x), one.y, name=one.name) for one in (small.source[0], small.test))
    return Scenario(source, Domain(Reader(small.target.x)), test, name=small.name, classes=small.classes)


CONFIG = problems.config("dann", backbone=problems.DROPPING, steps=20, evaluations=2)


@pytest.fixture(autouse=True, scope="module")
def two_steps_at_once() -> Any:
    """A part of a chunk has room for two batches of six examples, and three parts make a chunk of five steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "feed", functools.partial(feed, part_bytes=2 * 6 * problems.SIZE * 4))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tladapt.Result:
    return tladapt.run(CONFIG, streamed(), out=tmp_path_factory.mktemp("runs") / "whole")


def test_a_streamed_run_has_the_numbers_of_a_resident_one(whole: tladapt.Result) -> None:
    """To rounding: what is gathered in the step is fused with it, and the log's means are put together from parts."""
    resident = tladapt.run(CONFIG, problems.scenario())
    for name, value in problems.arrays(resident.weights._asdict()).items():
        np.testing.assert_allclose(problems.arrays(whole.weights._asdict())[name], value, rtol=1e-4, atol=1e-5)
    for one, other in zip(problems.numbers(whole.history), problems.numbers(resident.history), strict=True):
        numbers = [name for name, value in other.items() if isinstance(value, float)]
        assert len(numbers) > 5
        for name in numbers:
            assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-5), name
    assert whole.metrics["target/accuracy"] == resident.metrics["target/accuracy"]


def test_a_streamed_run_goes_on_to_the_same_bits(whole: tladapt.Result, tmp_path: Path) -> None:
    for kind, step in (("train", 15), ("eval", 20)):
        with pytest.raises(Stopped):
            tladapt.run(CONFIG, streamed(), out=tmp_path / "parts", callbacks=(stop(kind, step),), resume=True)
    tladapt.run(CONFIG, streamed(), out=tmp_path / "parts", resume=True)
    assert whole.folder is not None
    problems.assert_same_folder(whole.folder, tmp_path / "parts")


def test_the_next_part_is_on_its_way_while_the_device_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on the device before the host asks for the log, and never are more than two parts ahead of the steps."""
    events: list[str] = []
    chunk, call, get = assemble.Assembly.chunk, dispatch.Dispatcher.__call__, jax.device_get

    def chunked(self: Any, span: Any, first: int, steps: int) -> Any:
        events.append(f"read {first}+{steps}")
        return chunk(self, span, first, steps)

    def called(self: Any, state: Any, arrays: Any, parts: Any) -> Any:
        def noted() -> Any:
            for part in parts:
                assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(part))
                events.append("step")
                yield part

        return call(self, state, arrays, noted())

    def fetched(tree: Any) -> Any:
        events.append("log")
        return get(tree)

    monkeypatch.setattr(assemble.Assembly, "chunk", chunked)
    monkeypatch.setattr(dispatch.Dispatcher, "__call__", called)
    monkeypatch.setattr(jax, "device_get", fetched)
    config = problems.config("source_only", steps=10, evaluations=1)
    tladapt.run(config, streamed())
    parts = ["read 0+2", "step", "read 2+2", "step", "read 4+1", "step", "read 5+2", "log", "step"]
    assert events == [*parts, "read 7+2", "step", "read 9+1", "step", "log"]


def test_ahead_makes_each_once_in_order() -> None:
    made: list[int] = []
    ahead = Ahead(lambda first, count: made.append(first) or first, [*cut(0, 5, 2), *cut(5, 5, None)])
    assert (ahead.peek(), ahead.peek(), made) == (0, 0, [0])
    assert [ahead.take() for _ in range(4)] == [0, 2, 4, 5]
    assert ahead.peek() is None and made == [0, 2, 4, 5]


def test_means_of_parts_are_weighted_by_their_steps() -> None:
    found = dispatch._mean([(2, {"a": jnp.float32(1.0)}), (2, {"a": jnp.float32(4.0)}), (1, {"a": jnp.float32(10.0)})])
    assert float(found["a"]) == pytest.approx(4.0)
