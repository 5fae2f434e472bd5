"""The validators once more, as slowly and plainly as they can be said: float64, one loop an index of the formula."""

from __future__ import annotations

import math

import numpy as np

from tests.losses.naive import plain_entropy, softmax


def snd(logits, temperature=0.05):
    p = [softmax(row) for row in np.asarray(logits, dtype=np.float64)]
    n = len(p)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    rows = [softmax([cosine(p[i], p[j]) / temperature for j in range(n) if j != i]) for i in range(n)]
    return sum(map(plain_entropy, rows)) / n


def dev_risk(weights, losses):
    n = len(weights)
    weighted = [w * loss for w, loss in zip(weights, losses, strict=True)]
    mean_w, mean_l = sum(weights) / n, sum(weighted) / n
    covariance = sum((a - mean_l) * (w - mean_w) for a, w in zip(weighted, weights, strict=True)) / (n - 1)
    variance = sum((w - mean_w) ** 2 for w in weights) / (n - 1)
    eta = -covariance / variance if variance > 0 else 0.0
    return mean_l + eta * mean_w - eta


def ami(first, second):
    """Adjusted mutual information; the expectation summed over the hypergeometric distribution of each cell."""
    n = len(first)
    a = [sum(1 for v in first if v == k) for k in sorted(set(first))]
    b = [sum(1 for v in second if v == k) for k in sorted(set(second))]
    pairs = list(zip(first, second, strict=True))
    cells = {(i, j): pairs.count((i, j)) for i in set(first) for j in set(second)}
    sizes = {k: list(first).count(k) for k in set(first)}, {k: list(second).count(k) for k in set(second)}
    mutual = sum(c / n * math.log(n * c / (sizes[0][i] * sizes[1][j])) for (i, j), c in cells.items() if c)
    expected = 0.0
    for size_a in a:
        for size_b in b:
            for c in range(max(1, size_a + size_b - n), min(size_a, size_b) + 1):
                ways = math.comb(size_b, c) * math.comb(n - size_b, size_a - c) / math.comb(n, size_a)
                expected += ways * c / n * math.log(n * c / (size_a * size_b))
    mean = (plain_entropy([v / n for v in a]) + plain_entropy([v / n for v in b])) / 2
    return (mutual - expected) / (mean - expected)
