"""The data doctor at full length: what `examine` sees, and how large the shift looks."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from tladapt.data import Domain, Scenario, examples
from tladapt.data.doctor import examine, spread_out
from tladapt.data.examination import Examination, Finding
from tladapt.evaluation.distances import mmd_test, proxy_a_distance

EXAMPLES = 2000  # of each domain, that the shift is measured on
SIDE = 16  # pixels: images are averaged down to this side; a shift of domains shows at a coarse scale, too
PLACES = 512  # that words and token ids are counted in
WIDTH = 1024  # longer inputs than this are thinned out


def doctor(scenario: Scenario, *, seed: int = 0) -> Examination:
    """Examine a scenario's data before anything is trained on it, thoroughly.

    On top of `tladapt.data.doctor.examine`: the proxy A-distance of the domains on held-out examples, and the MMD at a
    bandwidth fixed by the source with a permutation test. Neither looks at a label.

    Args:
      scenario: the problem.
      seed: of the choice of examples, and of the permutations.

    Returns:
      What was found: `print(report)` says it in words, `report.findings` holds it by severity, `report.record()` is
      JSON.

    Example:
      >>> import numpy as np
      >>> from tladapt.data import Domain, Scenario
      >>> rng = np.random.default_rng(0)
      >>> source = Domain(rng.normal(size=(200, 4)), np.arange(200) % 2)
      >>> report = doctor(Scenario(source, Domain(rng.normal(size=(200, 4)) + 5.0)))
      >>> report.shift["proxy_a_distance"] > 1.9, report.shift["mmd_p"] < 0.01
      (True, True)
    """
    found = examine(scenario, thorough=True)
    if any(facts.not_finite for facts in found.domains) or min(map(len, (*scenario.source, scenario.target))) < 4:
        return found
    shift = measure_shift(scenario, seed=seed)
    return found.with_more([_in_words(shift)], shift=shift)


def measure_shift(scenario: Scenario, *, seed: int = 0, limit: int = EXAMPLES) -> dict[str, Any]:
    """Return label-free measures of how far the source's and the target's inputs are apart, as JSON.

    Inputs are flattened (images averaged down to 16 pixels a side; texts and token ids as how often each occurs, up to
    collisions of 512 places), centred by the source and divided by the source's deviation: that of each number for
    vectors, that of all numbers otherwise.
    """
    source = np.concatenate([flattened(domain, limit) for domain in scenario.source])
    source = source[np.linspace(0, len(source) - 1, min(limit, len(source))).astype(np.int64)]
    target = flattened(scenario.target, limit)
    mean = source.mean(axis=0)
    if len(scenario.target.shape) == 1 and not scenario.target.holds_indices:
        # A number that hardly varies in the source must not outweigh all others.
        deviation = np.maximum(source.std(axis=0), 0.1 * np.concatenate([source, target]).std(axis=0))
        deviation = np.where(deviation > 0, deviation, 1.0)
    else:
        deviation = np.full(source.shape[1], math.sqrt(max(float(source.var(axis=0).mean()), 1e-12)))
    source, target = (source - mean) / deviation, (target - mean) / deviation
    apart = proxy_a_distance(source, target, seed=seed)
    mmd = mmd_test(source, target, bandwidth=2.0 * source.shape[1], seed=seed)
    return {
        "proxy_a_distance": apart.distance,
        "domain_error": apart.error,
        "held_out_examples": apart.examples,
        "mmd": mmd.value,
        "mmd_without_shift": mmd.null,
        "mmd_p": mmd.p,
        "mmd_bandwidth": 2.0 * source.shape[1],
        "width": int(source.shape[1]),
    }


def flattened(domain: Domain, limit: int) -> np.ndarray:
    """Return at most `limit` examples as vectors `[n, d]`, float32.

    Images are averaged down, 8 bits read as [0, 1]; words and token ids are counted in 512 places, rows of length 1.
    """
    index = spread_out(domain, thorough=True, limit=limit)
    if domain.is_text:
        tokens = [[zlib.crc32(word.encode()) for word in domain.x[int(i)].lower().split()] for i in index]
        return _counted(tokens)
    x = examples(domain, index)
    if domain.holds_indices:
        return _counted(x.reshape(len(x), -1))
    x = x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x
    if x.ndim >= 3:
        for axis in (1, 2):
            x = _averaged(x, axis)
    x = x.reshape(len(x), -1)
    every = math.ceil(x.shape[1] / WIDTH)
    return x[:, ::every]


def _counted(rows: Iterable[Any]) -> np.ndarray:
    """Return how often each number of a row occurs, modulo `PLACES`, rows of length 1: float32 `[n, PLACES]`."""
    places = [np.asarray(row, np.int64) % PLACES for row in rows]
    counts = np.stack([np.bincount(row, minlength=PLACES) for row in places]).astype(np.float32)
    return np.asarray(counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), np.float32(1e-6)))


def _averaged(x: np.ndarray, axis: int) -> np.ndarray:
    """Average neighbours along an axis so that at most `SIDE` remain."""
    length = x.shape[axis]
    if length <= SIDE:
        return x
    starts = np.unique(np.linspace(0, length, SIDE, endpoint=False).astype(np.int64))
    sizes = np.diff(np.append(starts, length)).astype(x.dtype)
    shape = [1] * x.ndim
    shape[axis] = len(sizes)
    return np.asarray(np.add.reduceat(x, starts, axis=axis) / sizes.reshape(shape))


def _in_words(shift: dict[str, Any]) -> Finding:
    distance, error, p = shift["proxy_a_distance"], shift["domain_error"], shift["mmd_p"]
    if distance < 0.3:
        words = "The domains can hardly be told apart: source-only may do as well as any method."
    elif distance < 1.3:
        words = "The domains differ and overlap: a moderate shift."
    else:
        words = (
            "The domains are easily told apart by their inputs, as is usual where adaptation is worth a try; whether"
            " their classes can be matched is another question."
        )
    odds = "p < 0.01" if p < 0.01 else f"p = {p:.2f}"
    return Finding(
        "note",
        "shift",
        f"{words} A linear classifier on the inputs is wrong about the domain of {error:.1%} of held-out examples (50 %"
        f" is chance; proxy A-distance {distance:.2f} of at most 2). MMD {shift['mmd']:.3g}; without a shift it would"
        f" stay under {shift['mmd_without_shift']:.3g} ({odds}).",
    )
