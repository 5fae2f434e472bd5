"""Domains of texts, and of the token ids that stand for them."""

from __future__ import annotations

import numpy as np
import pytest

from tladapt.data import Domain, Scenario, Texts, examples, feed, tokenized
from tladapt.data.doctor import examine
from tladapt.data.pictures import pictures
from tladapt.errors import UsageError
from tladapt.evaluation.doctor import doctor
from tladapt.training.inputs import Inputs

BOOKS = ["a good read", "dull", "a dull dull read", "good"]
FILMS = ["a good plot", "", "so dull"]


class Lengths:
    """Each word becomes its length; 0 pads."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, texts, length):
        self.calls += 1
        rows = [[len(word) for word in text.split()][:length] for text in texts]
        return np.array([row + [0] * (length - len(row)) for row in rows])


def problem(**rest) -> Scenario:
    return Scenario(
        Domain(BOOKS, [1, 0, 0, 1], name="books"), Domain(FILMS, [1, 0, 0], name="films", groups=[0, 0, 1]), **rest
    )


@pytest.mark.parametrize("make", [list, tuple, np.array, Texts, lambda x: np.array(x, object)])
def test_a_domain_takes_texts(make):
    domain = Domain(make(BOOKS), [1, 0, 0, 1])
    assert isinstance(domain.x, Texts) and list(domain.x) == BOOKS
    assert domain.is_text and domain.shape == () and len(domain) == 4 and not domain.holds_indices
    part = domain.take(np.array([3, 0]))
    assert list(part.x) == ["good", "a good read"] and part.y.tolist() == [1, 1]
    assert pictures(domain, np.arange(2)) is None


def test_texts_are_a_sequence():
    texts = Texts(BOOKS)
    assert (len(texts), texts[1], texts[-1], list(texts[1:3])) == (4, "dull", "good", BOOKS[1:3])
    assert repr(Texts(["x" * 40])) == f"Texts(1 texts: '{'x' * 27}...')"


def test_what_is_no_text_is_said():
    with pytest.raises(UsageError, match="must all be str, got int at place 1"):
        Texts(["a", 1])
    with pytest.raises(UsageError, match="domain 'books': texts must all be str, got float at place 2"):
        Domain(["a", "b", float("nan")], name="books")
    with pytest.raises(UsageError, match="numeric"):
        Domain([["a", "b"]])
    with pytest.raises(UsageError, match="one shape"):
        Scenario(Domain(BOOKS, [0, 0, 1, 1]), Domain(np.zeros((3, 4))))


def test_texts_have_to_become_tokens_before_a_model_reads_them():
    with pytest.raises(UsageError, match=r"tladapt\.data\.tokenized"):
        examples(problem().source[0], np.arange(2))


def test_tokens_in_the_place_of_texts():
    tokenizer = Lengths()
    scenario = tokenized(problem(origin={"name": "mine"}, classes=["bad", "fine"]), tokenizer, 3)
    (source,), target, test = scenario.source, scenario.target, scenario.test
    assert source.x.dtype == np.int32 and source.holds_indices
    np.testing.assert_array_equal(source.x, [[1, 4, 4], [4, 0, 0], [1, 4, 4], [4, 0, 0]])
    np.testing.assert_array_equal(target.x, [[1, 4, 4], [0, 0, 0], [2, 4, 0]])
    assert target.y is None and test.y.tolist() == [1, 0, 0] and test.groups.tolist() == [0, 0, 1]
    assert test.x is target.x and tokenizer.calls == 2  # the test set is the target: read once
    assert (scenario.name, scenario.classes, scenario.origin) == ("books-films", ("bad", "fine"), {"name": "mine"})
    twin = tokenized(problem().oracle(), Lengths(), 3)
    assert twin.is_oracle and twin.source[0].y.tolist() == [1, 0, 0]
    assert scenario.oracle().source[0].y.tolist() == [1, 0, 0]


def test_a_validation_set_and_several_sources_are_tokenized_too():
    more = Domain(FILMS[:2], [0, 1], name="more")
    both = Scenario([problem().source[0], more], Domain(FILMS), validation=Domain(["one two"], [1]))
    scenario = tokenized(both, Lengths(), 2)
    assert [domain.x.shape for domain in (*scenario.source, scenario.validation)] == [(4, 2), (2, 2), (1, 2)]
    assert scenario.test is None
    with pytest.raises(UsageError, match="no labels of the target"):
        scenario.oracle()


def test_tokenized_refuses_in_words():
    with pytest.raises(UsageError, match="needs texts, and domain 'books' holds ndarray"):
        tokenized(tokenized(problem(), Lengths(), 3), Lengths(), 3)
    with pytest.raises(UsageError, match="at least 1, got 0"):
        tokenized(problem(), Lengths(), 0)

    class Floats:
        def encode(self, texts, length):
            return np.zeros((len(texts), length))

    class Short:
        def encode(self, texts, length):
            return np.zeros((len(texts), length - 1), np.int64)

    for tokenizer, got in ((Floats(), r"float64 \(4, 3\)"), (Short(), r"int64 \(4, 2\)")):
        with pytest.raises(UsageError, match=rf"integers \[4, 3\] for domain 'books', got {got}"):
            tokenized(problem(), tokenizer, 3)


def test_tokens_reach_the_model_as_they_are():
    scenario = tokenized(problem(), Lengths(), 3)
    batches = feed(scenario.source, batch_size=2, seed=0, labelled=True)
    batch = batches.batch(batches.arrays(), {"index": np.array([1, 0])})
    assert batch.x.dtype == np.int32
    inputs = Inputs.measure("none", [scenario.source[0].x], scenario.target.x)
    np.testing.assert_array_equal(inputs(Inputs.scale(batch.x), "source"), [[4, 0, 0], [1, 4, 4]])
    for how in ("source", "domain"):
        with pytest.raises(UsageError, match=rf"standardize='{how}'.*token ids.*standardize none"):
            Inputs.measure(how, [scenario.source[0].x], scenario.target.x)
    assert examples(Domain(np.arange(6).reshape(3, 2)), np.arange(2)).dtype == np.float32  # other integers are numbers


def test_indices_and_numbers_do_not_mix():
    with pytest.raises(UsageError, match=r"source 's' holds other numbers, and target 't' int32"):
        Scenario(Domain(np.zeros((2, 3)), [0, 1], name="s"), Domain(np.zeros((2, 3), np.int32), name="t"))


def many(words: list[str], n: int = 60) -> list[str]:
    rng = np.random.default_rng(len(words[0]))
    return [" ".join(rng.choice(words, 5)) + f" {i}" for i in range(n)]


def test_the_doctor_reads_texts():
    source, target = many(["plot", "page", "author", "read"]), many(["knob", "steel", "pan"])
    scenario = Scenario(
        Domain(source, np.arange(60) % 2, name="books"), Domain(target, name="pans"), Domain(target[:2], [0, 1])
    )
    report = doctor(scenario)
    facts = report.domains[0]
    assert (facts.dtype, facts.shape, facts.looked_at) == ("text", (), 60)
    assert facts.minimum == min(map(len, source)) and facts.maximum == max(map(len, source))
    assert f"60 texts of {facts.minimum:.0f} to {facts.maximum:.0f} characters" in str(report)
    assert report.duplicates["target/test"] == 2 and report.duplicates["source/target"] == 0
    assert report.shift["domain_error"] < 0.1  # no word in common
    assert [finding.about for finding in report.findings if finding.severity == "warn"] == ["duplicates"]
    same = Scenario(Domain(source, np.arange(60) % 2), Domain(many(["plot", "page", "author", "read"], 200)[100:]))
    assert doctor(same).shift["domain_error"] > 0.25
    empty = examine(Scenario(Domain(BOOKS * 20, [0, 1] * 40), Domain([*BOOKS, " "] * 12)))
    assert any("empty texts" in finding.text for finding in empty.findings)


def test_the_doctor_reads_tokens_and_compares_no_ranges():
    rng = np.random.default_rng(0)
    source, target = (rng.integers(0, top, (60, 8)).astype(np.int32) for top in (30, 3000))
    source[:, 7] = 0  # padding
    report = doctor(Scenario(Domain(source, np.arange(60) % 2), Domain(target)))
    assert [finding.about for finding in report.findings] == ["shift"]
    assert "(int32, read as indices)" in str(report) and "mean" not in str(report).splitlines()[1]
    assert report.shift["domain_error"] < 0.2 and report.shift["width"] == 512
