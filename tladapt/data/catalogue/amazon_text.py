"""Amazon reviews as raw text: 2,000 labelled reviews of each of four kinds of goods; 12 pairs of domains."""

from __future__ import annotations

import dataclasses
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from tladapt.data.catalogue.amazon_reviews import CLASSES, DOMAINS
from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, check_sha256, damaged, locate, sha256
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario
from tladapt.data.texts import Texts
from tladapt.errors import UsageError

TEXT = Release(
    title="Amazon reviews, text (Multi-Domain Sentiment Dataset 2.0)",
    files={"text": ("domain_sentiment_data.tar.gz", "sorted_data_acl_labeled.tar.xz", "sorted_data_acl", "books")},
    folders=("amazon_reviews", "amazon_reviews/sorted_data_acl", "sorted_data_acl"),
    obtain="https://www.cs.jhu.edu/~mdredze/datasets/sentiment/ (domain_sentiment_data.tar.gz, or its unpacked folder"
    " sorted_data_acl/)",
)
TEXT_SHA256 = ("42086d687f7e9e346a88ae9b99c5194c01a69d528abaf36fffe6437615a9d8fc",)
RELEASED = 1000
"""Labelled reviews of each class in each domain."""
_FOLDERS = {**{name: name for name in DOMAINS}, "kitchen_&_housewares": "kitchen"}
_RECORD = re.compile(r"<review>(.*?)</review>", re.DOTALL)
_PARTS = tuple(re.compile(rf"<{name}>(.*?)</{name}>", re.DOTALL) for name in ("title", "review_text"))


def records(content: str) -> list[str]:
    """Return the texts of a .review file: title, newline, text. The rating beside them, which is the label, is left.

    >>> [text] = records("<review><rating>5.0</rating><title> Fine </title><review_text> It is </review_text></review>")
    >>> text.splitlines()
    ['Fine', 'It is']
    """
    found = []
    for record in _RECORD.findall(content):
        parts = [part.search(record) for part in _PARTS]
        found.append("\n".join(part.group(1).strip() if part else "" for part in parts))
    return found


def _unpacked(path: Path) -> dict[tuple[str, str], bytes]:
    """Return the content of DOMAIN/CLASS.review by domain and class, from an archive or a folder."""
    wanted = {f"{label}.review": label for label in CLASSES}
    found = {}
    if path.is_dir():
        for folder, domain in _FOLDERS.items():
            for name, label in wanted.items():
                if (review := path / folder / name).is_file():
                    found[domain, label] = review.read_bytes()
        return found
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                folder, name = ("", *PurePosixPath(member.name).parts)[-2:]
                if folder in _FOLDERS and name in wanted and (file := archive.extractfile(member)) is not None:
                    found[_FOLDERS[folder], wanted[name]] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as problem:
        raise damaged(path, f"is truncated or not a tar archive ({problem})") from None
    return found


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # every byte is a character of it


def read_texts(path: Path, domains: Sequence[str], *, verify: bool) -> dict[str, list[list[str]]]:
    """Return the texts of some domains by name, those of each class apart, in the order of the files.

    Args:
      path: the archive, its unpacked folder, or the folder "books" in that.
      domains: some of `DOMAINS`.
      verify: refuse an archive whose sha256 is not the known one's, and other than 1,000 reviews of a class.

    Raises:
      DamagedDataError: for a file that is something else.
    """
    path = path.parent if path.name == "books" else path
    content = _unpacked(path)
    if verify and path.suffix == ".xz":
        check_sha256(path, TEXT_SHA256)
    found: dict[str, list[list[str]]] = {domain: [] for domain in domains}
    for domain in domains:
        for label in CLASSES:
            if (domain, label) not in content:
                raise damaged(path, f"is incomplete: {domain}/{label}.review is not in it")
            texts = records(_decoded(content[domain, label]))
            if not texts or (verify and len(texts) != RELEASED):
                raise damaged(
                    path, f"is not the released set: {domain}/{label}.review has {len(texts)} reviews, not {RELEASED}"
                )
            found[domain].append(texts)
    return found


@SCENARIOS.register("amazon-text")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AmazonText(PairEntry):
    """Amazon reviews as texts, one of the 12 pairs of four kinds of goods.

    Source: 2,000 labelled reviews of one domain, half of them positive (4 or 5 stars), half negative (1 or 2). Target
      and test: the 2,000 of another (transductive). Negative ones come first, in the order of the files.
    Inputs: text, the title and, on a new line, the review. Files that are not UTF-8 are read as Latin-1. Some texts
      occur twice in a domain (22 to 46 of 2,000); `deduplicate` keeps the first of each.

    Source: Blitzer, Dredze, Pereira, "Biographies, Bollywood, boom-boxes and blenders: domain adaptation for sentiment
      classification", ACL 2007.
    """

    pair: str = "books-dvd"
    """Source and target, two of books, dvd, electronics and kitchen; "amazon-text:dvd-kitchen" says it, too."""
    limit: int | None = None
    """How many reviews of each class and domain to take, the first ones; none: all."""
    deduplicate: bool = False
    """Whether a review with the title and text of an earlier one of its domain is left out."""
    verify: bool = True
    """Refuse an archive whose sha256 is not the known one's, and other than 1,000 reviews of each class and domain."""

    summary: ClassVar[str] = "reviews of 4 kinds of goods as text, 12 pairs: 2,000 labelled, tested on all target"
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "All labelled reviews of a domain are the source, all of another the target and the test set (transductive)."
    )
    sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(DOMAINS, len(CLASSES) * RELEASED)
    licence: ClassVar[str] = "no explicit one; for research, cite Blitzer et al. 2007."
    obtain: ClassVar[str] = TEXT.obtain
    releases: ClassVar[tuple[Release, ...]] = (TEXT,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit is not None and self.limit < 1:
            raise UsageError(
                f"limit is a number of reviews of each class, at least 1, or none for all; got {self.limit}."
            )

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both domains as texts."""
        called = f"amazon-text:{self.pair}"
        path = locate(self.releases, data_dir, called=called)[0]["text"]
        found = read_texts(path, self.ends(), verify=self.verify)
        domains = [self._domain(name, found[name]) for name in self.ends()]
        origin = {"files": {} if path.is_dir() else {str(path): sha256(path)}}
        return Scenario(*domains, classes=CLASSES, name=called, origin=origin)

    def _domain(self, name: str, found: list[list[str]]) -> Domain:
        texts: list[str] = []
        labels: list[int] = []
        seen: set[str] = set()
        for index, one in enumerate(found):
            kept = self._kept(one, seen)
            texts += kept
            labels += [index] * len(kept)
        return Domain(Texts(texts), np.array(labels), name=name)

    def _kept(self, found: Sequence[str], seen: set[str]) -> list[str]:
        """Return the reviews of one class that are taken; `seen` holds the domain's earlier ones."""
        if self.deduplicate:
            found = [text for text in dict.fromkeys(found) if text not in seen]
            seen.update(found)
        return list(found[: self.limit])
