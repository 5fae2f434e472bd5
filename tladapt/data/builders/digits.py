"""USPS and MNIST-M for TFDS, which has MNIST and SVHN itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tladapt.data.builders.released import Part, Released
from tladapt.data.catalogue import digit_files
from tladapt.data.catalogue.digit_files import MNIST_M, MNIST_M_RELEASED, USPS
from tladapt.data.catalogue.files import Release

DIGITS = tuple("0123456789")


class Usps(Released):
    """USPS: 7,291 training and 2,007 test digits from envelopes, 16 x 16, ink white on black.

    "image" has 256 grey levels; "grey" is the released number, float32 in [0, 1], which has 2,001.

    Source: Hull, "A database for handwritten text recognition research", PAMI 1994; split as in Hastie, Tibshirani,
      Friedman, "The Elements of Statistical Learning".
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = USPS.obtain
    keys = ("image", "label")
    licence = "none stated; public US Postal Service benchmark."

    def needs(self) -> Release:
        return USPS

    def features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(16, 16, 1), encoding_format="png"),
            "grey": tfds.features.Tensor(shape=(16, 16), dtype=np.float32),
            "label": tfds.features.ClassLabel(names=DIGITS),
        }

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        read = digit_files.read_usps(paths["h5"], verify=self.verify)
        return {name: Part(len(split.y), self._digits(split)) for name, split in read.items()}

    @staticmethod
    def _digits(split: digit_files.Split) -> Iterator[dict[str, Any]]:
        from PIL import Image

        for grey, label in zip(split.x, split.y, strict=True):
            image = Image.fromarray(np.rint(255 * grey).astype(np.uint8))
            yield {"image": image, "grey": grey, "label": int(label)}


class MnistM(Released):
    """MNIST-M: MNIST's digits blended as |patch - digit| onto patches of photographs, RGB 32 x 32.

    59,001 training and 9,001 test images as released, their PNG bytes unchanged; a consistent subset is taken as it is.
    Image i is made from digit i of MNIST: the index tells which, and no method may pair them.

    Source: Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016, arXiv:1505.07818.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = MNIST_M.obtain
    keys = ("image", "label")
    licence = "none stated (made from MNIST and BSDS500)."

    def needs(self) -> Release:
        return MNIST_M

    def features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=DIGITS),
        }

    def sources(self, paths: Mapping[str, Path]) -> list[Path]:
        return [digit_files.MnistMFiles(paths["any"]).path]

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        digit_files.read_mnist_m(paths["any"])  # every picture can be decoded, or an error says which cannot
        files = digit_files.MnistMFiles(paths["any"])
        named = {split: files.named(split) for split in MNIST_M_RELEASED}
        return {split: Part(len(names), self._pictures(files, split, names)) for split, names in named.items()}

    @staticmethod
    def _pictures(files: digit_files.MnistMFiles, split: str, named: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
        for name, label in named:
            yield {"image": files.content(f"mnist_m_{split}/{name}"), "label": label}
