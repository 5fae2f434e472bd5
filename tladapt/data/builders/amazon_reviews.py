"""Amazon reviews for TFDS, as word counts and as text; a config is a kind of goods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tladapt.data.builders.released import Part, Released
from tladapt.data.catalogue.amazon_reviews import CLASSES, COUNTS, COUNTS_SHA256, DOMAINS, WORDS, read_counts
from tladapt.data.catalogue.amazon_text import TEXT, read_texts
from tladapt.data.catalogue.files import Release, damaged

_SPLITS = ("train", "test")


class AmazonReviews(Released):
    """Amazon reviews as counts of 5,000 words, one kind of goods a config: 2,000 for training, the others for testing.

    The counts as released are whole numbers up to 84, and are kept as uint8.

    Source: Blitzer, Dredze, Pereira, "Biographies, Bollywood, boom-boxes and blenders", ACL 2007; the features of Chen,
      Xu, Weinberger, Sha, "Marginalized denoising autoencoders for domain adaptation", ICML 2012, arXiv:1206.4683; the
      split of Ganin et al., JMLR 2016, arXiv:1505.07818.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = COUNTS.obtain
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in DOMAINS]  # noqa: RUF012 (as TFDS has it)
    keys = ("counts", "label")
    licence = "features: BSD 2-clause (GRAAL-Research); reviews: for research, cite Blitzer et al. 2007."

    def needs(self) -> Release:
        wanted = [f"{self.builder_config.name}_{split}" for split in _SPLITS]
        return dataclasses.replace(COUNTS, files={name: COUNTS.files[name] for name in wanted})

    def features(self) -> dict[str, Any]:
        return {
            "counts": tfds.features.Tensor(shape=(WORDS,), dtype=np.uint8, encoding=tfds.features.Encoding.ZLIB),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        made = {}
        for split in _SPLITS:
            name = f"{self.builder_config.name}_{split}"
            x, y = read_counts(paths[name], COUNTS_SHA256[name], verify=self.verify)
            counts = x.astype(np.uint8)
            if not np.array_equal(counts, x):
                raise damaged(paths[name], "has counts that are no whole numbers from 0 to 255")
            made[split] = Part(len(y), self._reviews(counts, y))
        return made

    @staticmethod
    def _reviews(counts: np.ndarray, y: np.ndarray) -> Iterator[dict[str, Any]]:
        for row, label in zip(counts, y, strict=True):
            yield {"counts": row, "label": int(label)}


class AmazonText(Released):
    """Amazon reviews as text, one kind of goods a config: 1,000 negative and 1,000 positive ones, split "train".

    A text is the title and, on a new line, the review. Some occur twice.

    Source: Blitzer, Dredze, Pereira, "Biographies, Bollywood, boom-boxes and blenders: domain adaptation for sentiment
      classification", ACL 2007.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = TEXT.obtain
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in DOMAINS]  # noqa: RUF012 (as TFDS has it)
    keys = ("text", "label")
    licence = "no explicit one; for research, cite Blitzer et al. 2007."

    def needs(self) -> Release:
        return TEXT

    def features(self) -> dict[str, Any]:
        return {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=CLASSES)}

    def sources(self, paths: Mapping[str, Path]) -> list[Path]:
        path = paths["text"]
        return [path.parent if path.name == "books" else path]

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        name = self.builder_config.name
        found = read_texts(paths["text"], [name], verify=self.verify)[name]
        count = sum(map(len, found))
        reviews = ({"text": text, "label": label} for label, texts in enumerate(found) for text in texts)
        return {"train": Part(count, reviews)}
