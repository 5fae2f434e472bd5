import dataclasses
import math

import numpy as np
import pytest

from tladapt.errors import UnknownNameError
from tladapt.evaluation.validators import VALIDATORS, ValidationOutputs, Validator


def outputs(target_logits, source_logits=None, source_labels=None):
    target = np.asarray(target_logits, dtype=np.float32)
    source = target if source_logits is None else np.asarray(source_logits, dtype=np.float32)
    labels = np.zeros(len(source), np.int32) if source_labels is None else np.asarray(source_labels)
    return ValidationOutputs(source, source, labels, target, target)


def naive(logits):
    """H of the mean prediction, and the mean H, by plain loops."""
    rows = []
    for row in np.asarray(logits, dtype=np.float64):
        e = [math.exp(z - max(row)) for z in row]
        rows.append([value / sum(e) for value in e])
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    def entropy(p):
        return -sum(q * math.log(q) for q in p if q > 0)

    return entropy(mean), sum(map(entropy, rows)) / len(rows)


@pytest.mark.parametrize("shape", [(1, 2), (7, 3), (257, 31)])
@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0, 300.0])
def test_entropy_and_im_equal_naive_ones_and_keep_their_bounds(shape, scale):
    logits = (scale * np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    marginal, conditional = naive(logits)
    entropy, im = VALIDATORS["entropy"]().score(outputs(logits)), VALIDATORS["im"]().score(outputs(logits))
    assert entropy == pytest.approx(-conditional, abs=1e-9)
    assert im == pytest.approx(marginal - conditional, abs=1e-9)
    assert -math.log(shape[1]) - 1e-12 <= entropy <= 0
    assert 0 <= im <= math.log(shape[1])


def test_im_at_its_ends():
    even = 1000 * np.eye(10)[np.arange(100) % 10]
    assert VALIDATORS["im"]().score(outputs(even)) == pytest.approx(math.log(10))
    assert VALIDATORS["im"]().score(outputs(even[np.zeros(100, int)])) == 0  # one class, certain
    assert VALIDATORS["im"]().score(outputs(np.zeros((100, 10)))) == 0  # all classes, undecided


def test_im_sees_the_whole_target_and_not_batches():
    certain = 1000 * np.eye(2)[np.repeat([0, 1], 50)]  # sorted by class: each half alone has no diversity
    score = VALIDATORS["im"]().score
    assert score(outputs(certain)) == pytest.approx(math.log(2))
    assert score(outputs(certain[:50])) == score(outputs(certain[50:])) == 0


def test_source_accuracy_looks_at_the_source_alone():
    seen = outputs(np.zeros((5, 3)), source_logits=np.eye(3), source_labels=[0, 1, 1])
    assert VALIDATORS["source_accuracy"]().score(seen) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["entropy", "im"])
def test_what_is_not_finite_scores_nan(name):
    assert math.isnan(VALIDATORS[name]().score(outputs([[np.nan, 0.0], [1.0, 0.0]])))


def test_there_is_no_field_for_a_label_of_the_target():
    assert [field for field in ValidationOutputs._fields if "label" in field] == ["source_labels"]


def test_validators_are_frozen_keyword_only_and_named_as_registered():
    assert set(VALIDATORS) == {"source_accuracy", "entropy", "im", "snd", "dev", "class_ami"}
    for name in VALIDATORS:
        validator = VALIDATORS[name]()
        assert isinstance(validator, Validator)
        assert validator.name == name and validator.summary
        with pytest.raises(dataclasses.FrozenInstanceError):
            validator.name = "other"
    with pytest.raises(UnknownNameError, match="entropy"):
        VALIDATORS["entropi"]


def test_a_validator_without_a_score_cannot_be_made():
    class Nothing(Validator):
        name = "nothing"

    with pytest.raises(TypeError, match="abstract"):
        Nothing()
