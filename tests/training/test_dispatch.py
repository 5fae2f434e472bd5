"""How steps reach the device: in which pieces, how often traced, and when the host looks."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import random
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tladapt.errors import UsageError
from tladapt.methods import Stage
from tladapt.models import Conv
from tladapt.training import dispatch, loop
from tladapt.training.dispatch import boundaries, evaluation_steps, refreshes, spans
from tladapt.training.passes import Span

# ---- the plan of a run -----------------------------------------------------------------------------------------------


def plans(count: int = 300) -> Iterator[tuple[tuple[Stage, ...], int, int]]:
    """Stages, steps and chunk lengths of all sorts, drawn with a fixed seed."""
    chance = random.Random(0)
    for _ in range(count):
        stages = tuple(
            Stage(f"s{i}", share=chance.choice([1e-6, 0.1, 0.5, 1.0, 7.0]), refresh=chance.choice([0, 0, 1, 3, 50]))
            for i in range(chance.randint(1, 4))
        )
        yield stages, chance.randint(len(stages), 120), chance.choice([1, 2, 7, 50, 1000])


def test_stages_cover_the_steps_exactly_each_with_one_at_least() -> None:
    for stages, steps, _ in plans():
        found = spans(stages, steps)
        assert [span.stage for span in found] == list(stages)
        assert found[0].first == 0 and found[-1].end == steps
        assert all(span.length >= 1 for span in found)
        assert all(before.end == after.first for before, after in itertools.pairwise(found))
    halves = spans((Stage("a", share=0.3), Stage("b", share=0.7)), 1000)
    assert [span.length for span in halves] == [300, 700]


def test_impossible_stages_are_refused() -> None:
    with pytest.raises(UsageError, match="2 stages need at least as many steps, got 1"):
        spans((Stage("a"), Stage("b")), 1)
    for share in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="share of stage 'a' must be above 0"):
            spans((Stage("a", share=share),), 10)


def test_chunks_cover_a_stage_exactly_and_end_where_they_should() -> None:
    for stages, steps, chunk in plans():
        for span in spans(stages, steps):
            pieces = list(boundaries(span, chunk))
            ends = [first + count for first, count in pieces]
            assert pieces[0][0] == span.first and ends[-1] == span.end
            assert ends[:-1] == [first for first, _ in pieces[1:]]
            assert all(1 <= count <= chunk for _, count in pieces)
            assert set(refreshes(span)) <= {first for first, _ in pieces}
            # Whole chunks, but where a refresh or the end of the stage cuts one short.
            short = {first + count for first, count in pieces if count < chunk}
            assert short <= {*refreshes(span), span.end}
            assert len({count for _, count in pieces}) <= 3  # each length is compiled


def test_refreshes_are_even_distinct_and_begin_with_the_stage() -> None:
    for stages, steps, _ in plans():
        for span in spans(stages, steps):
            found = refreshes(span)
            assert len(set(found)) == len(found) == min(span.stage.refresh, span.length)
            assert all(span.first <= at < span.end for at in found)
            if found:
                gaps = [after - before for before, after in itertools.pairwise((*found, span.end))]
                assert found[0] == span.first and max(gaps) - min(gaps) <= 1


def test_evaluations_stand_at_ends_of_chunks_and_at_the_last_step() -> None:
    for stages, steps, chunk in plans():
        laid_out = spans(stages, steps)
        ends = {first + count for span in laid_out for first, count in boundaries(span, chunk)}
        for evaluations in (1, 3, 10, 1000):
            found = evaluation_steps(laid_out, evaluations, chunk)
            assert set(found) <= ends and found[-1] == steps and list(found) == sorted(set(found))
            assert len(found) <= evaluations
            for i in range(1, evaluations + 1):  # none is farther from its place than the nearest end of a chunk
                at = steps * i / evaluations
                assert min(abs(step - at) for step in found) == min(abs(end - at) for end in ends)
    assert evaluation_steps(spans((Stage(),), 3000), 10, 50) == tuple(range(300, 3001, 300))


# ---- traces and transfers --------------------------------------------------------------------------------------------


@pytest.fixture
def dispatchers(monkeypatch: pytest.MonkeyPatch) -> list[dispatch.Dispatcher]:
    """The dispatchers of the runs of a test."""
    return problems.dispatchers(monkeypatch)


class Compilations(logging.Handler):
    """Counts what XLA is asked to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage()
        if words.startswith("Compiling "):
            self.names.append(words.split()[1])


@pytest.fixture
def compilations() -> Iterator[Compilations]:
    handler, logger = Compilations(), logging.getLogger("jax")
    logger.addHandler(handler)
    with jax.log_compiles(True):
        yield handler
    logger.removeHandler(handler)


def test_one_trace_a_stage_and_chunk_length(
    dispatchers: list[dispatch.Dispatcher], compilations: Compilations, tmp_path: Any
) -> None:
    """Refreshes of `shot` before the steps 20, 26 and 33 cut its second stage of 20 steps into 5 + 1, 5 + 2, 5 + 2."""
    tladapt.run(problems.methods()["shot"], problems.scenario())
    assert [dict(one.traces) for one in dispatchers] == [{5: 1}, {5: 1, 1: 1, 2: 1}]
    assert sum("chunk" in name for name in compilations.names) == 4  # and no trace was compiled twice


class Spy:
    """Sees device arrays go to the host while `on`: by item, by NumPy, or by `jax.device_get`."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self.on, self.looks, self.gets = False, [], 0
        kind = type(jnp.zeros(()))
        value = kind._value

        def seen(array: Any) -> Any:
            self._note(array)
            return value.fget(array)

        patch.setattr(kind, "_value", property(seen))
        for name in ("asarray", "array"):  # these may read a buffer without asking the array
            patch.setattr(np, name, self._noting(getattr(np, name)))
        get = jax.device_get

        def device_get(tree: Any) -> Any:
            self.gets += 1
            before, self.on = self.on, False
            found = get(tree)
            self.on = before
            return found

        patch.setattr(jax, "device_get", device_get)

    def _note(self, array: Any) -> None:
        if self.on and isinstance(array, jax.Array):
            self.looks.append(f"{array.dtype}{array.shape}")

    def _noting(self, function: Any) -> Any:
        def noting(array: Any, *args: Any, **options: Any) -> Any:
            self._note(array)
            return function(array, *args, **options)

        return noting


def test_host_looks_at_the_device_once_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first step on, but for evaluations: neither steps nor log lines bring anything else from the device."""
    spy = Spy(monkeypatch)
    call, tell = dispatch.Dispatcher.__call__, loop.Loop.tell

    def called(self: Any, *args: Any) -> Any:
        spy.on = True
        return call(self, *args)

    def told(self: Any, member: Any, kind: Any, step: int, row: Any) -> None:
        spy.on = spy.on and step not in self.due  # an evaluation and a save follow, which do look
        tell(self, member, kind, step, row)

    monkeypatch.setattr(dispatch.Dispatcher, "__call__", called)
    monkeypatch.setattr(loop.Loop, "tell", told)
    tladapt.run(problems.config("dann", evaluations=1), problems.scenario())
    assert spy.gets == problems.STEPS // problems.CHUNK
    assert spy.looks == []


def test_the_spy_sees() -> None:
    with pytest.MonkeyPatch.context() as patch:
        spy = Spy(patch)
        spy.on = True
        for look in (np.asarray, np.array, float, bool, int, lambda x: x.item(), lambda x: x.tolist(), str):
            look(jnp.ones(()))
            assert spy.looks, look
            spy.looks.clear()


# ---- modules of one's own --------------------------------------------------------------------------------------------


class Plain(nnx.Module):
    """A convolution as Flax has it, or, with the same parameters, as ours."""

    def __init__(self, *, ours: bool, rngs: nnx.Rngs):
        kind: Any = Conv if ours else nnx.Conv
        self.conv = kind(1, 4, 3 if ours else (3, 3), rngs=rngs)
        self.out_features = 4

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(self.conv(x)).mean((1, 2))


def test_plain_convolutions_run_one_by_one_with_a_word_and_the_same_numbers(
    dispatchers: list[dispatch.Dispatcher],
) -> None:
    plain, ours = Plain(ours=False, rngs=nnx.Rngs(0)), Plain(ours=True, rngs=nnx.Rngs(0))
    ours.conv.kernel[...] = plain.conv.kernel[...]
    results = []
    for backbone in (plain, ours):
        watcher = problems.Watcher()
        config = problems.config("dann", backbone=backbone, steps=10, evaluations=1)
        results.append(tladapt.run(config, problems.images(), callbacks=(watcher,)))
        said = [note for note in watcher.notes if "steps run one by one" in note]
        assert len(said) == (1 if backbone is plain else 0)
    assert [one.mode for one in dispatchers] == ["loop", "scan"]
    assert dict(dispatchers[0].traces) == {1: 1}
    one, two = (problems.arrays(result.weights.params) for result in results)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6)
    first, second = (problems.numbers(result.history) for result in results)
    for row, other in zip(first, second, strict=True):
        for name in row.keys() - {"kind", "step", "stage"}:
            assert other[name] == pytest.approx(row[name], rel=1e-3, abs=1e-6), name


def test_loop_and_scan_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    config = problems.config("mcd", backbone=problems.DROPPING, steps=10, evaluations=1)
    scanned = tladapt.run(config, problems.scenario())
    monkeypatch.setattr(dispatch, "foreign_convolutions", lambda *args: ("one",))
    looped = tladapt.run(config, problems.scenario())
    for name, value in problems.arrays(scanned.weights._asdict()).items():
        np.testing.assert_allclose(problems.arrays(looped.weights._asdict())[name], value, rtol=1e-4, atol=1e-5)


def test_span_knows_its_end_and_domains() -> None:
    span = Span(Stage("x", source=False), 3, 4)
    assert span.end == 7 and span.domains == ("target",)
    assert Span(dataclasses.replace(Stage(), target=False), 0, 1).domains == ("source",)
