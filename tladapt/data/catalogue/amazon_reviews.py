"""Amazon reviews, 5,000 word counts: the sentiment benchmark of the domain-adversarial papers; 12 pairs of domains."""

from __future__ import annotations

import bz2
import dataclasses
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, check_sha256, damaged, locate, sha256
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario

DOMAINS = ("books", "dvd", "electronics", "kitchen")
CLASSES = ("negative", "positive")
WORDS = 5000
COUNTS = Release(
    title="Amazon reviews, word counts",
    files={
        f"{domain}_{split}": (f"{domain}_{split}.svmlight.bz2", f"{domain}_{split}.svmlight")
        for domain in DOMAINS
        for split in ("train", "test")
    },
    folders=("amazon_reviews/dann_svmlight", "amazon_reviews/data", "amazon_reviews"),
    obtain="https://github.com/GRAAL-Research/domain_adversarial_neural_network (data/*.svmlight, or .bz2 of them)",
)
# The file compressed by bzip2, then its content as released.
COUNTS_SHA256 = {
    "books_train": (
        "6a30d58e5e7bd57f56b37ccdb346085e3a4a2538fe3d5152b6bcc5ef0f94a95e",
        "317f9a2ec34b81de770b63a84d8c5cc2dc16bd0be6e079d2ff5b5bad5213ea19",
    ),
    "books_test": (
        "477cd984e4410ce966dd28869e58b5c76b1422609620d12a846ea5f4538e1174",
        "fe4605c7dcf0e0a9410fd2a32f247caaf9abb352cc6e4c3e0f400853163ad9c4",
    ),
    "dvd_train": (
        "250671c63f5a612cd8857d35f8d1bb92c56e0de5de3ec8143da4f4265b6656d0",
        "95f602aa08bf6b55758f7b0b18df3882fe30acb11987ee60b6b4bb3c44cba733",
    ),
    "dvd_test": (
        "620893c7214b1029e412446e9ddadc27ee06fa044f503dff6c5a2eeec7df8142",
        "4fe1b1a15010f78d8d0c49fe362d35fd4677463a45f1ac02a9f410ae1e638060",
    ),
    "electronics_train": (
        "797e4479f0811fff77ff517d4083fc6d90dfc2844b2244983b33f3c629fe1656",
        "7d0061f03ff3827e4f8036b051b5e5828fddc0cd115aa5b212cd28d624dc14e4",
    ),
    "electronics_test": (
        "f7ec024f8971baa2b0d1ab3b08139acdecf3980777348b17708479fef613f2f0",
        "641783bc941839c3a111d3488a1b7e3bd820a61ec14a129e7429b47703aa961d",
    ),
    "kitchen_train": (
        "7b9ac8e1281c788c63842c14017ffa08da51e3399c55d4a779d75bdd1c013920",
        "a70b5ebfe1413e0e16280360905f5c3b64389c435cd20c0165dc9d7f293b31b5",
    ),
    "kitchen_test": (
        "e964fa41000f5b7171c268582787cbe5ac03597bfe1267072eb16d54397fb2ad",
        "e1502b97a824eb12314be4447394fa736fecb781c0724e6529cd6733ac7ff6d8",
    ),
}


def read_counts(path: Path, known: tuple[str, ...], *, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return counts float32 `[n, 5000]` and labels int64 `[n]`, 0 negative and 1 positive, of one svmlight file.

    Args:
      path: lines "-1 0:1 27:3 ...", indices from 0 on, compressed by bzip2 or not.
      known: checksums, of the file as it is or of what is in it.
      verify: refuse a file that has none of them.

    Raises:
      DamagedDataError: for a file that cannot be read, or is something else.
    """
    from sklearn.datasets import load_svmlight_file

    content = path.read_bytes()
    if path.suffix == ".bz2":
        try:
            content = bz2.decompress(content)
        except (OSError, ValueError) as problem:
            raise damaged(path, f"is truncated or not a bzip2 file ({problem})") from None
    try:
        x, y = load_svmlight_file(io.BytesIO(content), n_features=WORDS, zero_based=True, dtype=np.float32)
    except (ValueError, OverflowError, IndexError) as problem:
        raise damaged(path, f"is not the svmlight file it should be ({problem})") from None
    if len(y) == 0 or not set(np.unique(y)) <= {-1.0, 1.0}:
        raise damaged(path, f"has labels such as {np.unique(y)[:3].tolist()}; expected -1 and 1")
    if verify:
        check_sha256(path, known, content=content)
    return x.toarray(), (y > 0).astype(np.int64)


@SCENARIOS.register("amazon-reviews")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AmazonReviews(PairEntry):
    """Amazon reviews as word counts, the protocol of the DANN paper on one of the 12 pairs of its domains.

    Source: 2,000 labelled reviews of one kind of goods. Target: 2,000 unlabelled ones of another. Test: the target's
      other reviews (books 4,465, dvd 3,586, electronics 5,681, kitchen 5,945). About half of each are positive.
    Inputs: float32 `[5000]`, how often the 5,000 most frequent words and pairs of words of the four domains occur.
      Other papers use 400 or 30,000 words, whose numbers do not compare.

    Source: Blitzer, Dredze, Pereira, "Biographies, Bollywood, boom-boxes and blenders", ACL 2007; the features of Chen,
      Xu, Weinberger, Sha, "Marginalized denoising autoencoders for domain adaptation", ICML 2012, arXiv:1206.4683; the
      protocol of Ganin et al., JMLR 2016, arXiv:1505.07818, section 5.1.
    """

    pair: str = "books-dvd"
    """Source and target, two of books, dvd, electronics and kitchen; "amazon-reviews:dvd-kitchen" says it, too."""
    transform: Literal["none", "log", "sqrt", "binary", "tfidf"] = "none"
    """What becomes of a count c: c as released, log(1 + c), its root, whether there is any; for tfidf c times
    1 + ln((1 + n) / (1 + df)), rows then of length 1: df of the n training reviews of both domains have the word."""
    verify: bool = True
    """Refuse files whose sha256 is not that of the released ones."""

    summary: ClassVar[str] = (
        "reviews of 4 kinds of goods, 5,000 word counts, 12 pairs: 2,000 labelled -> 2,000, tested on the others"
    )
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "2,000 labelled reviews are the source, 2,000 of another domain the target, that domain's others the test set."
    )
    sizes: ClassVar[Mapping[str, int]] = {"books": 6_465, "dvd": 5_586, "electronics": 7_681, "kitchen": 7_945}
    licence: ClassVar[str] = "features: BSD 2-clause (GRAAL-Research); reviews: for research, cite Blitzer et al. 2007."
    obtain: ClassVar[str] = COUNTS.obtain
    releases: ClassVar[tuple[Release, ...]] = (COUNTS,)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read source, target and test as float32 `[n, 5000]`."""
        called, (source, target) = f"amazon-reviews:{self.pair}", self.ends()
        wanted = (f"{source}_train", f"{target}_train", f"{target}_test")
        needed = dataclasses.replace(COUNTS, files={name: COUNTS.files[name] for name in wanted})
        (paths,) = locate((needed,), data_dir, called=called)
        read = [read_counts(paths[name], COUNTS_SHA256[name], verify=self.verify) for name in wanted]
        inputs = self._transformed([x for x, _ in read])
        names = (source, target, f"{target} test")
        domains = [Domain(x, y, name=name) for x, (_, y), name in zip(inputs, read, names, strict=True)]
        origin = {"files": {str(path): sha256(path) for path in paths.values()}}
        return Scenario(*domains, classes=CLASSES, name=called, origin=origin)

    def _transformed(self, counts: list[np.ndarray]) -> list[np.ndarray]:
        """Return the counts of source, target and test, transformed."""
        if self.transform == "none":
            return counts
        if self.transform == "log":
            return [np.log1p(x) for x in counts]
        if self.transform == "sqrt":
            return [np.sqrt(x) for x in counts]
        if self.transform == "binary":
            return [(x > 0).astype(np.float32) for x in counts]
        seen = counts[:2]  # not the test reviews
        n = sum(len(x) for x in seen)
        weight = np.log((1 + n) / (1 + sum((x > 0).sum(axis=0) for x in seen))) + 1
        weighted = [x * weight.astype(np.float32) for x in counts]
        return [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in weighted]
