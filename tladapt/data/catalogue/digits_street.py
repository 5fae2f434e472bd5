"""Digits with house numbers: SVHN with MNIST, both ways, and from digits drawn from fonts (SynDigits)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from tladapt.data.catalogue.digit_files import MNIST, Split, read_mnist
from tladapt.data.catalogue.entry import SCENARIOS, ScenarioEntry
from tladapt.data.catalogue.files import Release, locate, sha256
from tladapt.data.catalogue.images import check_size, resize
from tladapt.data.catalogue.svhn_files import SVHN, SYN_DIGITS, read_svhn, read_syn_digits
from tladapt.data.domain import Domain, Scenario

_RELEASES = {"mnist": MNIST, "svhn": SVHN, "syndigits": SYN_DIGITS}
_SIZES = {"mnist": 70_000, "svhn": 99_289, "syndigits": 488_953}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Street(ScenarioEntry):
    size: int = 32
    """Side of the images in pixels: MNIST is padded from 28 to 32, then all are resized, bilinear, to another."""
    verify: bool = True
    """Refuse files that are not the released ones, by their sha256 (SynDigits: by the number of pictures)."""

    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "The training images of both are source and target, the test images of the target the test set (full protocol)."
    )

    def _read(self, name: str, paths: dict[str, Path]) -> dict[str, Split]:
        if name == "mnist":
            padded = {
                split: Split(np.repeat(np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None], 3, axis=3), y)
                for split, (x, y) in read_mnist(paths, verify=self.verify).items()
            }
        else:
            padded = (read_svhn if name == "svhn" else read_syn_digits)(paths, verify=self.verify)
        return {split: Split(resize(x, self.size), y) for split, (x, y) in padded.items()}

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets as uint8 `[n, size, size, 3]`."""
        check_size(self.size)
        called = "-".join(self.domains)
        found = dict(zip(self.domains, locate(self.releases, data_dir, called=called), strict=True))
        source, target = (self._read(name, found[name]) for name in self.domains)
        names = self.domains
        return Scenario(
            Domain(*source["train"], name=names[0]),
            Domain(*target["train"], name=names[1]),
            Domain(*target["test"], name=f"{names[1]} test"),
            validation=Domain(*source["test"], name=f"{names[0]} test"),
            classes=self.classes,
            name=called,
            origin={"files": {str(path): sha256(path) for paths in found.values() for path in paths.values()}},
        )


@SCENARIOS.register("svhn-mnist")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SvhnMnist(_Street):
    """House numbers to scanned digits, the full protocol, RGB 32 x 32.

    Source: the 73,257 training digits of SVHN (without its 531,131 extra ones). Target: the 60,000 of MNIST,
      unlabelled. Test: MNIST's 10,000 test digits. Validation: SVHN's 26,032 test digits. MNIST is padded to 32 x 32,
      and its grey repeated; some papers resize it instead, or make SVHN grey.

    Protocol: Ganin et al., JMLR 2016, arXiv:1505.07818; Hoffman et al., ICML 2018, arXiv:1711.03213.
    """

    summary: ClassVar[str] = "SVHN 73,257 -> MNIST 60,000, tested on MNIST 10,000 (full protocol); RGB 32 x 32"
    domains: ClassVar[tuple[str, ...]] = ("svhn", "mnist")
    sizes: ClassVar[Mapping[str, int]] = {name: _SIZES[name] for name in ("svhn", "mnist")}
    licence: ClassVar[str] = "SVHN: for non-commercial use. MNIST: commonly given as CC BY-SA 3.0."
    obtain: ClassVar[str] = f"SVHN: {SVHN.obtain}. MNIST: {MNIST.obtain}."
    releases: ClassVar[tuple[Release, ...]] = (SVHN, MNIST)


@SCENARIOS.register("mnist-svhn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistSvhn(SvhnMnist):
    """Scanned digits to house numbers, `SvhnMnist` the other way round: the hard way; tested on SVHN's 26,032.

    Protocol: French, Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018, arXiv:1706.05208.
    """

    summary: ClassVar[str] = "MNIST 60,000 -> SVHN 73,257, tested on SVHN 26,032 (full protocol); RGB 32 x 32"
    domains: ClassVar[tuple[str, ...]] = ("mnist", "svhn")
    sizes: ClassVar[Mapping[str, int]] = {name: _SIZES[name] for name in ("mnist", "svhn")}
    releases: ClassVar[tuple[Release, ...]] = (MNIST, SVHN)


@SCENARIOS.register("syndigits-svhn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SynDigitsSvhn(_Street):
    """Digits drawn from fonts to house numbers, RGB 32 x 32.

    Source: the 479,400 training pictures of SynDigits: one to three digits in fonts, turned, blurred, on colours.
      Target: the 73,257 training digits of SVHN, unlabelled. Test: SVHN's 26,032 test digits. Validation: SynDigits'
      9,553 test pictures. The source takes 1.5 GB of memory.

    Protocol: Ganin et al., JMLR 2016, arXiv:1505.07818. It reports 86.7 % without adaptation, 91.1 % with, 92.2 % with
      labels.
    """

    summary: ClassVar[str] = "SynDigits 479,400 -> SVHN 73,257, tested on SVHN 26,032 (full protocol); RGB 32 x 32"
    domains: ClassVar[tuple[str, ...]] = ("syndigits", "svhn")
    sizes: ClassVar[Mapping[str, int]] = {name: _SIZES[name] for name in ("syndigits", "svhn")}
    licence: ClassVar[str] = "SynDigits: none stated. SVHN: for non-commercial use."
    obtain: ClassVar[str] = f"SynDigits: {SYN_DIGITS.obtain}. SVHN: {SVHN.obtain}."
    releases: ClassVar[tuple[Release, ...]] = (SYN_DIGITS, SVHN)
