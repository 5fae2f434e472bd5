"""Domains that are read as the run goes: ahead by threads, within bounds, and in words where a file is broken."""

import sys
import threading
import time

import numpy as np
import pytest

from tladapt.data import Domain, examples, feed, in_order, in_turn, streaming
from tladapt.data.catalogue.images import ImageFiles
from tladapt.data.streaming import ReadAhead
from tladapt.errors import DamagedDataError, MissingPackageError

pytest.importorskip("grain")


class Counting:
    """A random-access source that counts what is read from it; it can be held up."""

    def __init__(self, count=1000):
        self.x = np.arange(count * 4, dtype=np.uint8).reshape(count, 4)
        self.reads, self.lock, self.open = 0, threading.Lock(), threading.Event()
        self.open.set()
        self.free = 0  # examples before this one are never held up

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index, /):
        assert index < self.free or self.open.wait(10)
        with self.lock:
            self.reads += 1
        return self.x[index]


def settled(source):
    """Return how much has been read once nothing more is."""
    before = -1
    while before != source.reads:
        before = source.reads
        time.sleep(0.05)
    return before


def test_no_more_is_read_ahead_than_there_is_room_for():
    source = Counting()
    streamed = feed([Domain(source)], batch_size=10, seed=0, labelled=False, part_bytes=3 * 40, threads=4)
    assert streamed.part == 3
    start = settled(source)
    for first in range(0, 12, 3):
        streamed.chunk(first, 3)
        ahead = settled(source) - start - 10 * (first + 3)
        assert ahead == 30  # a part is being used, and the next one is there
    streamed.close()
    assert feed([Domain(source)], batch_size=10, seed=0, labelled=False, part_bytes=1).part == 1
    assert feed([Domain(source.x)], batch_size=10, seed=0, labelled=False).part is None


def test_reading_goes_on_while_nobody_asks():
    source = Counting()
    streamed = feed([Domain(source)], batch_size=4, seed=0, labelled=False, part_bytes=16 * 2, threads=2)
    streamed.chunk(0, 2)
    settled(source)
    source.open.clear()  # from now on nothing can be read
    assert streamed.chunk(2, 2)["x"].shape == (2, 4, 4)
    source.open.set()
    streamed.close()


def test_threads_end_with_the_reading():
    def alive():
        return {thread.ident for thread in threading.enumerate() if thread.name.startswith("grain-prefetch")}

    before = alive()
    streamed = feed([Domain(Counting())], batch_size=4, seed=0, labelled=False, threads=3)
    streamed.chunk(0, 2)
    turn = in_turn(Domain(Counting()), in_order(1000, 10))
    next(turn)
    assert len(alive() - before) > 1
    streamed.close()
    turn.close()
    for _ in range(100):
        if not alive() - before:
            break
        time.sleep(0.05)
    assert not alive() - before


def test_what_waits_to_be_read_is_dropped_where_reading_ends(monkeypatch):
    """64 batches wait for a thread. Grain drops them where its iterator is collected, if ever: here it is not."""
    kept = []

    class Kept(ReadAhead):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            kept.append(self)

    monkeypatch.setattr(streaming, "ReadAhead", Kept)
    source = Counting()
    source.free = 10
    source.open.clear()
    turn = in_turn(Domain(source), in_order(1000, 10), threads=2)
    next(turn)
    turn.close()
    source.open.set()
    assert settled(source) < 10 + 2 * 10 + 5  # the first batch, one in each thread, and looks at a shape


def test_a_whole_domain_is_read_in_order_the_last_batch_filled_up():
    source = Counting(25)
    for one in (Domain(source), Domain(source.x)):
        found = list(in_turn(one, in_order(25, 10)))
        assert [len(x) for x in found] == [10, 10, 10]
        np.testing.assert_array_equal(np.concatenate(found)[:25], source.x)
        np.testing.assert_array_equal(found[2][5:], np.repeat(source.x[-1:], 5, axis=0))
    assert source.reads - 30 < 5  # a look at the first example's shape, and nothing twice


def test_a_jump_starts_anew_and_so_does_a_call_after_an_error():
    def read(at):
        if at == 3:
            raise DamagedDataError("three")
        return at * 10

    reader = ReadAhead(read, count=9, ahead=2, threads=2)
    assert [reader(at) for at in (0, 1, 2, 7, 8, 1)] == [0, 10, 20, 70, 80, 10]
    assert reader(2) == 20
    for _ in range(2):
        with pytest.raises(DamagedDataError, match="three"):
            reader(3)
    assert [reader(at) for at in (4, 5, 2)] == [40, 50, 20]
    reader.close()


@pytest.fixture
def pictures(tmp_path):
    """Twelve small pictures, the eighth of which was cut short."""
    from PIL import Image

    rng = np.random.default_rng(0)
    paths = [tmp_path / f"picture{i}.jpg" for i in range(12)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(path)
    paths[7].write_bytes(paths[7].read_bytes()[:300])
    return paths


def test_a_broken_file_in_a_stream_is_named(pictures):
    broken, whole = (Domain(ImageFiles(paths, 16, 3)) for paths in (pictures, pictures[:7]))
    streamed = feed([broken], batch_size=4, seed=0, labelled=False)
    with pytest.raises(DamagedDataError, match=r"picture7\.jpg"):
        streamed.chunk(0, 3)  # an epoch
    streamed.close()
    with pytest.raises(DamagedDataError, match=r"picture7\.jpg"):
        list(in_turn(broken, in_order(12, 5)))
    streamed = feed([whole], batch_size=4, seed=0, labelled=False)
    found = streamed.chunk(5, 3)
    for x, index in zip(found["x"], found["index"], strict=True):
        np.testing.assert_array_equal(x, examples(whole, index))
    streamed.close()


def test_without_grain_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    source = Domain(Counting(), name="photos")
    with pytest.raises(MissingPackageError, match=r"'photos' is read from files.*pip install 'tladapt\[stream\]'"):
        feed([source], batch_size=4, seed=0, labelled=False)
    with pytest.raises(MissingPackageError, match=r"domain 'photos' .*'tladapt\[stream\]'"):
        list(in_turn(source, in_order(1000, 10)))
    resident = Domain(Counting().x)
    assert feed([resident], batch_size=4, seed=0, labelled=False).chunk(0, 2)["index"].shape == (2, 4)
    assert len(list(in_turn(resident, in_order(1000, 10)))) == 100
