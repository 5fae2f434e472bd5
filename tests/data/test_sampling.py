from __future__ import annotations

import threading
from typing import Any

import jax
import numpy as np
import pytest

from tladapt.data import Domain, Labelled, Unlabelled, examples, feed, permutation, positions
from tladapt.data.feeds import ResidentFeed, StreamedFeed
from tladapt.errors import DamagedDataError, UsageError

RNG = np.random.default_rng(1)


class Reader:
    """A random-access source; notes which threads read it."""

    def __init__(self, x: np.ndarray):
        self.x = x
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int, /) -> np.ndarray:
        self.threads.add(threading.current_thread().name)
        return self.x[index]


def domain(n: int, name: str = "d", dtype: type = np.uint8) -> Domain:
    x = RNG.integers(0, 256, (n, 3, 3, 1)).astype(dtype)
    return Domain(x, RNG.integers(0, 4, n), name=name)


def batches(one: Any, first: int, steps: int) -> list[Any]:
    """The batches of some steps, through jit as a run makes them."""
    arrays, chunk = one.arrays(), one.chunk(first, steps)
    step = jax.jit(one.batch)
    return [step(arrays, jax.tree.map(lambda leaf, i=i: leaf[i], chunk)) for i in range(steps)]


def same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_each_epoch_is_a_permutation_and_epochs_differ(n):
    stream = positions(3, "source/0", n, 0, 5 * n).reshape(5, n)
    assert stream.dtype == np.int32
    for epoch in stream:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    if n == 100:
        assert len({tuple(epoch) for epoch in stream.tolist()}) == 5


def test_positions_are_a_pure_function_of_the_place_in_the_stream():
    whole = positions(5, "target/0", 13, 0, 200)
    for first, count in [(0, 0), (0, 5), (12, 2), (13, 13), (31, 100), (199, 1)]:
        np.testing.assert_array_equal(positions(5, "target/0", 13, first, count), whole[first : first + count])


def test_the_order_is_the_same_today_as_when_it_was_written():
    # From the definition alone: ranks of raw PCG64 draws, seeded by [seed, crc32(name), epoch].
    import zlib

    raw = np.random.PCG64(np.random.SeedSequence([11, zlib.crc32(b"source/0"), 2])).random_raw(9)
    np.testing.assert_array_equal(permutation(11, "source/0", 2, 9), np.argsort(raw))


def test_orders_of_roles_seeds_and_epochs_are_independent():
    n = 2000
    first = permutation(0, "source/0", 0, n)
    for other in (permutation(0, "target/0", 0, n), permutation(1, "source/0", 0, n), permutation(0, "source/0", 1, n)):
        # Two independent permutations agree in one place on average (Poisson): 8 or more has probability 1e-5.
        assert np.sum(first == other) < 8
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.1


def test_domains_of_one_length_do_not_march_in_step():
    source, target = domain(50), domain(50)
    index = {
        role: feed([one], batch_size=50, seed=0, labelled=labelled).chunk(0, 1)["index"]
        for role, one, labelled in [("s", source, True), ("t", target, False)]
    }
    assert np.mean(index["s"] == index["t"]) < 0.2


@pytest.mark.parametrize("labelled", [True, False])
def test_a_batch_holds_the_examples_it_names(labelled):
    one = domain(10)
    got = batches(feed([one], batch_size=4, seed=2, labelled=labelled), 0, 6)
    assert type(got[0]) is (Labelled if labelled else Unlabelled)
    assert not hasattr(Unlabelled, "y")
    for batch in got:
        assert batch.x.dtype == np.uint8 and batch.index.dtype == np.int32
        np.testing.assert_array_equal(batch.x, one.x[np.asarray(batch.index)])
        if labelled:
            np.testing.assert_array_equal(batch.y, one.y[np.asarray(batch.index)])
        np.testing.assert_array_equal(batch.domain, np.zeros(4, np.int32))


def test_batches_straddle_epochs_and_exceed_the_domain():
    one = domain(5)
    drawn = np.concatenate(
        [np.asarray(b.index) for b in batches(feed([one], batch_size=12, seed=0, labelled=True), 0, 5)]
    )
    np.testing.assert_array_equal(np.bincount(drawn, minlength=5), np.full(5, 12))  # 60 draws = 12 whole epochs


def test_several_sources_come_in_equal_counts_each_at_its_own_length():
    first, second = domain(4), domain(30)
    got = batches(feed([first, second], batch_size=6, seed=0, labelled=True), 0, 10)
    both_x, both_y = np.concatenate([first.x, second.x]), np.concatenate([first.y, second.y])
    for batch in got:
        np.testing.assert_array_equal(batch.domain, [0, 0, 0, 1, 1, 1])
        index = np.asarray(batch.index)
        assert (index[:3] < 4).all() and (index[3:] >= 4).all()
        np.testing.assert_array_equal(batch.x, both_x[index])
        np.testing.assert_array_equal(batch.y, both_y[index])
    seen = np.concatenate([np.asarray(batch.index)[3:] for batch in got])
    np.testing.assert_array_equal(np.sort(seen), np.arange(4, 34))  # 30 draws = one epoch of the second


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("reader", [True, False])
def test_streamed_batches_equal_resident_ones_bit_for_bit(labelled, dtype, reader):
    domains = [domain(7, dtype=dtype), domain(11, dtype=dtype)]
    resident = feed(domains, batch_size=8, seed=4, labelled=labelled)
    from_files = [Domain(Reader(d.x), d.y, name=d.name) for d in domains] if reader else domains
    streamed = feed(from_files, batch_size=8, seed=4, labelled=labelled, resident_bytes=10, threads=3)
    assert isinstance(resident, ResidentFeed) and isinstance(streamed, StreamedFeed)
    assert streamed.arrays() == ()
    for first, steps in [(0, 3), (3, 3), (6, 1), (20, 2), (1, 2)]:  # onwards, and jumps as a resume makes them
        for left, right in zip(batches(resident, first, steps), batches(streamed, first, steps), strict=True):
            same(left, right)
    if reader:
        assert all(name.startswith("grain-prefetch") for name in from_files[0].x.threads - {"MainThread"})
        assert from_files[0].x.threads - {"MainThread"}
    streamed.close()
    for left, right in zip(batches(resident, 9, 2), batches(streamed, 9, 2), strict=True):  # starts anew
        same(left, right)
    streamed.close()


def test_a_new_feed_in_the_middle_gives_what_an_old_one_would():
    one = domain(9)
    straight = batches(feed([one], batch_size=4, seed=6, labelled=True), 0, 12)
    resumed = batches(feed([one], batch_size=4, seed=6, labelled=True), 7, 5)
    for left, right in zip(straight[7:], resumed, strict=True):
        same(left, right)


def test_labels_of_the_target_cannot_reach_a_batch():
    one = domain(20)
    shuffled = Domain(one.x, RNG.permutation(one.y))
    for left, right in zip(
        *(batches(feed([d], batch_size=4, seed=0, labelled=False), 0, 6) for d in (one, shuffled)), strict=True
    ):
        same(left, right)
    assert set(feed([one], batch_size=4, seed=0, labelled=False).arrays()) == {"x"}


def test_a_second_labelled_feed_takes_its_own_role():
    one = domain(40)
    plain, other = (
        feed([one], batch_size=40, seed=0, labelled=True, role=role).chunk(0, 1)["index"] for role in (None, "labelled")
    )
    assert np.mean(plain == other) < 0.2


def test_bytes_and_floats_together_are_brought_to_one_range():
    first, second = domain(6), Domain(RNG.random((6, 3, 3, 1)), RNG.integers(0, 4, 6))
    x = feed([first, second], batch_size=2, seed=0, labelled=True).arrays()["x"]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[:6], first.x / np.float32(255), rtol=1e-6)
    assert not np.asarray(x).max() > 1


def test_float16_and_integers_reach_the_device_as_float32():
    for x in (np.ones((4, 2), np.float16), np.ones((4, 2), np.int64)):
        assert feed([Domain(x)], batch_size=2, seed=0, labelled=False).arrays()["x"].dtype == np.float32


def test_feed_refuses_in_words():
    one = domain(6)
    with pytest.raises(UsageError, match=r"multiple of the number of domains.*7 for 2 domains; 6 would do"):
        feed([one, one], batch_size=7, seed=0, labelled=True)
    with pytest.raises(UsageError, match="needs labels"):
        feed([one.unlabelled()], batch_size=2, seed=0, labelled=True)
    with pytest.raises(UsageError, match="at least one domain"):
        feed([], batch_size=2, seed=0, labelled=True)
    with pytest.raises(UsageError, match="seed"):
        feed([one], batch_size=2, seed=-1, labelled=True)
    with pytest.raises(UsageError, match="positions needs"):
        positions(0, "source/0", 0, 0, 1)


def test_examples_reads_arrays_and_sources_alike():
    x = domain(6).x
    index = np.array([5, 0, 0, 2])
    for one in (Domain(x), Domain(Reader(x))):
        np.testing.assert_array_equal(examples(one, index), x[index])
    assert examples(Domain(Reader(x)), np.array([], int)).shape == (0, 3, 3, 1)


class Ragged(Reader):
    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.x[index][: 2 if index == 3 else 3]


def test_an_example_of_another_shape_is_named():
    one = Domain(Ragged(domain(6).x), name="files")
    streamed = feed([one], batch_size=6, seed=0, labelled=False)
    with pytest.raises(DamagedDataError, match=r"example \d.*shape"):
        streamed.chunk(0, 1)
    streamed.close()
