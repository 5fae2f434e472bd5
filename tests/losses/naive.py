"""The losses once more, as slowly and plainly as they can be said: float64 NumPy, one loop an index of the formula."""

from __future__ import annotations

import math

import numpy as np


def softmax(row):
    shifted = [math.exp(v - max(row)) for v in row]
    return [v / sum(shifted) for v in shifted]


def plain_entropy(p):
    return -sum(v * math.log(v) for v in p if v > 0)


def mk_mmd(source, target, estimator="unbiased", multiples=(0.25, 0.5, 1, 2, 4), bandwidth=None):
    z = [*source, *target]
    n_s, n_t = len(source), len(target)
    if bandwidth is None:
        pairs = [((a - b) ** 2).sum() for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
        bandwidth = sum(pairs) / len(pairs)

    def k(a, b):
        return sum(math.exp(-((a - b) ** 2).sum() / (m * bandwidth)) for m in multiples)

    if estimator == "linear":
        terms = []
        for i in range(n_s // 2):
            (x_1, x_2), (y_1, y_2) = source[2 * i : 2 * i + 2], target[2 * i : 2 * i + 2]
            terms.append(k(x_1, x_2) + k(y_1, y_2) - k(x_1, y_2) - k(x_2, y_1))
        return sum(terms) / len(terms)

    def within(x):
        kept = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if estimator == "biased" or i != j]
        return sum(kept) / len(kept)

    across = sum(k(a, b) for a in source for b in target) / (n_s * n_t)
    return within(source) + within(target) - 2 * across


def coral(source, target):
    def covariance(x, a, b):
        n = len(x)
        mean_a, mean_b = sum(r[a] for r in x) / n, sum(r[b] for r in x) / n
        return sum((r[a] - mean_a) * (r[b] - mean_b) for r in x) / (n - 1)

    d = source.shape[1]
    squares = [(covariance(source, a, b) - covariance(target, a, b)) ** 2 for a in range(d) for b in range(d)]
    return sum(squares) / (4 * d**2)


def domain_adversarial(source_logits, target_logits):
    def sigmoid(v):
        return 1 / (1 + math.exp(-v))

    loss_s = sum(-math.log(sigmoid(v)) for v in source_logits) / len(source_logits)
    loss_t = sum(-math.log(1 - sigmoid(v)) for v in target_logits) / len(target_logits)
    return (loss_s + loss_t) / 2


def cross_entropy(logits, labels, smoothing=0.0):
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        for c, p in enumerate(softmax(row)):
            q = (1 - smoothing) * (c == label) + smoothing / len(row)
            total -= q * math.log(p)
    return total / len(logits)


def entropy(logits):
    return sum(plain_entropy(softmax(row)) for row in logits) / len(logits)


def mean_prediction(logits):
    p = [softmax(row) for row in logits]
    return [sum(row[c] for row in p) / len(p) for c in range(len(p[0]))]


def diversity(logits):
    return plain_entropy(mean_prediction(logits))


def information_maximization(logits):
    return entropy(logits) - diversity(logits)


def class_balance(logits):
    mean = mean_prediction(logits)
    u = 1 / len(mean)
    return sum(-u * math.log(m) - (1 - u) * math.log(1 - m) for m in mean) / len(mean)


def minimum_class_confusion(logits, temperature=2.5):
    """As the paper writes it: the matrix, its rows divided by their sums, its off-diagonal part over C."""
    q = [softmax([v / temperature for v in row]) for row in logits]
    n, classes = len(q), len(q[0])
    raw = [1 + math.exp(-plain_entropy(row)) for row in q]
    w = [n * v / sum(raw) for v in raw]
    m = [[sum(w[i] * q[i][a] * q[i][b] for i in range(n)) for b in range(classes)] for a in range(classes)]
    m = [[v / sum(row) for v in row] for row in m]
    return sum(m[a][b] for a in range(classes) for b in range(classes) if a != b) / classes


def classifier_discrepancy(first, second):
    rows = zip(first, second, strict=True)
    terms = [abs(p - q) for a, b in rows for p, q in zip(softmax(a), softmax(b), strict=True)]
    return sum(terms) / len(terms)


def consistency(student, teacher, confidence=0.96837722):
    total = 0.0
    for a, b in zip(student, teacher, strict=True):
        p, q = softmax(a), softmax(b)
        if max(q) > confidence:
            total += sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) / len(p)
    return total / len(student)


def pseudo_label(logits, threshold=0.0):
    total = 0.0
    for row in logits:
        p = softmax(row)
        if max(p) > threshold:
            total -= math.log(max(p))
    return total / len(logits)


def domain_accuracy(source_logits, target_logits):
    def right(v):
        return 1.0 if v > 0 else 0.5 if v == 0 else 0.0

    share_s = sum(right(v) for v in source_logits) / len(source_logits)
    share_t = sum(right(-v) for v in target_logits) / len(target_logits)
    return (share_s + share_t) / 2


def certainty_weights(logits):
    return [1 + math.exp(-plain_entropy(softmax(row))) for row in logits]


def confidence_mask(logits, threshold):
    return [float(max(softmax(row)) > threshold) for row in logits]


def conditional_map(features, probabilities):
    rows = zip(features, probabilities, strict=True)
    return [[p[c] * f[k] for c in range(len(p)) for k in range(len(f))] for f, p in rows]


def conditional_product(features, probabilities, kernel):
    rows = zip(features, probabilities, strict=True)
    classes, d, width = kernel.shape
    cells = [(c, k) for c in range(classes) for k in range(d)]
    return [[sum(p[c] * f[k] * kernel[c, k, o] for c, k in cells) for o in range(width)] for f, p in rows]


def random_conditional_map(features, probabilities, feature_map, class_map):
    def product(row, matrix, column):
        return sum(v * matrix[k, column] for k, v in enumerate(row))

    size = feature_map.shape[1]
    rows = zip(features, probabilities, strict=True)
    return [
        [product(f, feature_map, o) * product(p, class_map, o) / math.sqrt(size) for o in range(size)] for f, p in rows
    ]


def batch(seed, n, width, scale=1.0):
    """Random float64 rows."""
    return scale * np.random.default_rng(seed).standard_normal((n, width))
