"""How fast pictures reach the device: from arrays, JPEG files and array_record, in alternation in one run.

    python benchmarks/input.py [--pictures 3000] [--rounds 5] [--workers 2] [--json FILE]

Makes small JPEG files in a temporary folder, and brings batches of 64 of them, shuffled, decoded and resized, to the
device, several ways. The first two lines are what a feed is compared with: one thread, and Python's own thread pool.
Ratios are to the first line; pictures a second are of a shared machine and compare with nothing.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

import tladapt
from tladapt.data.catalogue.images import ImageFiles, decode
from tladapt.data.feeds import ResidentFeed, StreamedFeed, feed
from tladapt.data.streaming import _Elements, require_grain

BATCH, SIZE, SIDE, THREADS, AHEAD = 64, 64, 96, 8, 8


class Records:
    """JPEG files in one array_record file, as a random-access source."""

    def __init__(self, path: Path):
        self.records = require_grain("array_record").sources.ArrayRecordDataSource([str(path)])

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return decode(self.records[index], size=SIZE, channels=3, called=f"record {index}")


def make(folder: Path, count: int) -> tuple[list[Path], Path]:
    """Write pictures as JPEG files and as one array_record file."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from PIL import Image

    rng = np.random.default_rng(0)
    record = folder / "pictures.array_record"
    writer = ArrayRecordWriter(str(record), "group_size:1")
    paths = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(paths[-1], quality=90)
        writer.write(paths[-1].read_bytes())
    writer.close()
    return paths, record


def streamed(x: Any) -> StreamedFeed:
    bytes_ahead = AHEAD * BATCH * SIZE * SIZE * 3
    found = feed(
        [tladapt.Domain(x, name="pictures")],
        batch_size=BATCH,
        seed=0,
        labelled=False,
        resident_bytes=0,
        part_bytes=bytes_ahead,
        threads=THREADS,
    )
    assert isinstance(found, StreamedFeed)
    return found


# A way gives one batch after the other, each `[64, 64, 64, 3]`, on the host or on the device.


def one_thread(x: Any) -> Iterator[Any]:
    read = streamed(x)._plan.read
    step = 0
    while True:
        yield read(step)["x"]
        step += 1


def pool(x: Any) -> Iterator[Any]:
    """As many batches ahead as a feed reads, by `concurrent.futures`."""
    read = streamed(x)._plan.read
    with ThreadPoolExecutor(THREADS) as threads:
        waiting = collections.deque(threads.submit(read, step) for step in range(AHEAD))
        step = AHEAD
        try:
            while True:
                found = waiting.popleft().result()
                waiting.append(threads.submit(read, step))
                step += 1
                yield found["x"]
        finally:
            for future in waiting:
                future.cancel()


def fed(x: Any) -> Iterator[Any]:
    found, step = streamed(x), 0
    try:
        while True:
            yield found.chunk(step, 1)["x"][0]
            step += 1
    finally:
        found.close()


def processes(x: Any, workers: int) -> Iterator[Any]:
    """Grain's worker processes."""
    grain = require_grain("pictures")
    elements = grain.MapDataset.source(_Elements(streamed(x)._plan.read, 1 << 40))
    ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)
    options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
    for found in elements.to_iter_dataset(ahead).mp_prefetch(options):
        yield found["x"]


def resident(x: np.ndarray) -> Iterator[Any]:
    found = feed([tladapt.Domain(x)], batch_size=BATCH, seed=0, labelled=False)
    assert isinstance(found, ResidentFeed)
    arrays, step = found.arrays(), 0
    gather = jax.jit(lambda arrays, piece: found.batch(arrays, piece).x)
    while True:
        yield gather(arrays, {"index": found.chunk(step, 1)["index"][0]})
        step += 1


class Way:
    """Batches one after the other, sent to the device one ahead; `time` returns pictures a second."""

    def __init__(self, start: Callable[[], Iterator[Any]], steps: int):
        self.start, self.steps = start, steps
        self.running: Iterator[Any] | None = None

    def time(self, keep: bool) -> float:
        """Warm up until reading goes on evenly, then time; `keep` what took long to start."""
        batches = self.running or self.start()
        for _ in range(4 * AHEAD if self.running else AHEAD):  # what has waited since the last round is used up
            jax.block_until_ready(jax.device_put(next(batches)))
        started, sent = time.perf_counter(), None
        for _ in range(self.steps):
            before, sent = sent, jax.device_put(next(batches))
            jax.block_until_ready(before)
        jax.block_until_ready(sent)
        took = time.perf_counter() - started
        if keep:
            self.running = batches
        else:
            batches.close()  # type: ignore[attr-defined]
        return self.steps * BATCH / took


def main() -> None:
    """Time all ways round by round, print the table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=32, help="batches timed in each round")
    parser.add_argument("--workers", type=int, default=2, help="processes; 0: none")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # which Grain's processes ask for
    with tempfile.TemporaryDirectory() as folder:
        paths, record = make(Path(folder), given.pictures)
        files, records = ImageFiles(paths, SIZE, 3), Records(record)
        array = np.stack([files[i] for i in range(len(files))])
        starts: dict[str, Callable[[], Iterator[Any]]] = {
            "JPEG files, one thread": lambda: one_thread(files),
            "JPEG files, Python's thread pool": lambda: pool(files),
            "JPEG files, streamed": lambda: fed(files),
            "array_record, streamed": lambda: fed(records),
            "array, streamed": lambda: fed(array),
            "array, on the device": lambda: resident(array),
        }
        if given.workers:
            starts[f"JPEG files, {given.workers} processes"] = lambda: processes(files, given.workers)
        ways = {name: Way(start, given.steps) for name, start in starts.items()}
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(given.rounds):
            for name, way in ways.items():
                speeds[name].append(way.time(keep="processes" in name))
            load = os.getloadavg()[0]
            print(
                f"round {number + 1}: load {load:.1f}, " + ", ".join(f"{s[-1]:.0f}" for s in speeds.values()),
                flush=True,
            )
        base = np.array(speeds["JPEG files, one thread"])
        results = {
            name: {
                "pictures a second": [round(s) for s in series],
                "speed": [round(float(q), 2) for q in np.quantile(np.array(series) / base, [0.0, 0.5, 1.0])],
            }
            for name, series in speeds.items()
        }
        facts = {"jax": jax.__version__, "device": jax.devices()[0].device_kind, "cores": os.cpu_count()}
        facts |= {"python": platform.python_version(), "grain": version("grain"), "pictures": given.pictures}
        facts |= {"side": SIDE, "resized to": SIZE, "batch": BATCH, "threads": THREADS}
        print(f"\n{'':34} pictures a second (median)   speed against the first (min, median, max)")
        for name, entry in results.items():
            low, middle, high = entry["speed"]
            print(f"{name:34} {np.median(entry['pictures a second']):26.0f}   {middle:.2f} [{low:.2f}, {high:.2f}]")
        print(facts)
        if given.json:
            given.json.write_text(json.dumps({"environment": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
