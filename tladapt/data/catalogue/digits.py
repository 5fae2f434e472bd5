"""Digits between MNIST, USPS and MNIST-M: the benchmarks that most adaptation papers begin with."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tladapt.data.catalogue import digit_files
from tladapt.data.catalogue.digit_files import MNIST, MNIST_M, MNIST_M_RELEASED, USPS, Split
from tladapt.data.catalogue.entry import SCENARIOS, ScenarioEntry
from tladapt.data.catalogue.files import Release, locate, sha256
from tladapt.data.catalogue.images import check_size, resize
from tladapt.data.domain import Domain, Scenario


def _record(paths: list[Path], notes: tuple[str, ...] = ()) -> dict[str, object]:
    return {"files": {str(path): sha256(path) for path in paths if path.suffix != ".txt"}, "notes": list(notes)}


def _scenario(source: dict[str, Split], target: dict[str, Split], names: tuple[str, str], **rest: Any) -> Scenario:
    """Build the full protocol: train splits to learn from, test splits to measure with."""
    return Scenario(
        Domain(*source["train"], name=names[0]),
        Domain(*target["train"], name=names[1]),
        Domain(*target["test"], name=f"{names[1]} test"),
        validation=Domain(*source["test"], name=f"{names[0]} test"),
        classes=SCENARIOS["mnist-usps"].classes,
        **rest,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Digits(ScenarioEntry):
    size: int = 28
    """Side of the images in pixels; those of another side are resized, bilinear."""
    verify: bool = True
    """Refuse files whose sha256 is not that of the released ones."""

    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def _mnist(self, paths: dict[str, Path]) -> dict[str, Split]:
        read = digit_files.read_mnist(paths, verify=self.verify)
        return {name: Split(resize(x, self.size)[..., None], y) for name, (x, y) in read.items()}

    def _usps(self, path: Path) -> dict[str, Split]:
        read = digit_files.read_usps(path, verify=self.verify)
        grey = {name: resize(x, self.size)[..., None] for name, (x, _) in read.items()}
        return {name: Split(np.rint(255 * x).astype(np.uint8), read[name].y) for name, x in grey.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _MnistUsps(_Digits):
    domains: ClassVar[tuple[str, ...]] = ("mnist", "usps")
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "The training digits of both are source and target, the test digits of the target the test set (full protocol)."
    )
    sizes: ClassVar[Mapping[str, int]] = {"mnist": 70_000, "usps": 9_298}
    licence: ClassVar[str] = (
        "MNIST: commonly given as CC BY-SA 3.0. USPS: none stated; public US Postal Service benchmark."
    )
    obtain: ClassVar[str] = f"MNIST: {MNIST.obtain}. USPS: {USPS.obtain}."
    releases: ClassVar[tuple[Release, ...]] = (MNIST, USPS)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets as uint8 `[n, size, size, 1]`; USPS goes from 16 to `size` pixels and to 256 grey levels."""
        check_size(self.size)
        name = "-".join(self.domains)
        mnist, usps = locate(self.releases, data_dir, called=name)
        read = {"mnist": self._mnist(mnist), "usps": self._usps(usps["h5"])}
        source, target = self.domains
        origin = _record([*mnist.values(), *usps.values()])
        return _scenario(read[source], read[target], (source, target), name=name, origin=origin)


@SCENARIOS.register("mnist-usps")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistUsps(_MnistUsps):
    """MNIST to USPS, the full protocol.

    Source: the 60,000 training digits of MNIST. Target: the 7,291 training digits of USPS, unlabelled. Test: the
      2,007 test digits of USPS. Validation: the 10,000 test digits of MNIST. The older sampled protocol (2,000 and
      1,800 training digits) gives numbers that do not compare. USPS fills its 16 x 16 pixels to the border and MNIST
      does not: scale is a large part of the shift. The CoGAN copy of USPS (28 x 28, 7,438 / 1,860) is another split.

    Protocol: Tzeng, Hoffman, Saenko, Darrell, CVPR 2017, arXiv:1702.05464, and Hoffman et al., ICML 2018,
      arXiv:1711.03213.
    """

    summary: ClassVar[str] = "MNIST 60,000 -> USPS 7,291, tested on USPS 2,007 (full protocol); grey 28 x 28"


@SCENARIOS.register("usps-mnist")
@dataclasses.dataclass(frozen=True, kw_only=True)
class UspsMnist(_MnistUsps):
    """USPS to MNIST, the full protocol: `MnistUsps` the other way round, tested on the 10,000 test digits of MNIST."""

    summary: ClassVar[str] = "USPS 7,291 -> MNIST 60,000, tested on MNIST 10,000 (full protocol); grey 28 x 28"
    domains: ClassVar[tuple[str, ...]] = ("usps", "mnist")


@SCENARIOS.register("mnist-mnistm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistMnistM(_Digits):
    """MNIST to MNIST-M, digits blended as |patch - digit| onto patches of photographs.

    Source: the 60,000 training digits of MNIST. Target: the training images of MNIST-M (59,001 as released),
      unlabelled. Test: its test images (9,001). Validation: the 10,000 test digits of MNIST. Image i of MNIST-M is
      made from digit i of MNIST: no method may pair them, and the feeds draw each domain in an order of its own.

    Source: Ganin et al., JMLR 2016, arXiv:1505.07818. It reports 52.3 % without adaptation, 76.7 % with, 95.9 % with
      labels.
    """

    size: int = 32
    """Side of the images in pixels: MNIST is padded from 28 to 32, then both are resized, bilinear, to another."""

    summary: ClassVar[str] = (
        "MNIST 60,000 -> MNIST-M 59,001, tested on MNIST-M 9,001; RGB 32 x 32; subsets are taken and said"
    )
    domains: ClassVar[tuple[str, ...]] = ("mnist", "mnist-m")
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "MNIST's 60,000 training digits are the source, MNIST-M's 59,001 the target, its 9,001 others the test set."
    )
    sizes: ClassVar[Mapping[str, int]] = {"mnist": 70_000, "mnist-m": sum(MNIST_M_RELEASED.values())}
    licence: ClassVar[str] = "MNIST: commonly given as CC BY-SA 3.0. MNIST-M: none stated (MNIST and BSDS500)."
    obtain: ClassVar[str] = f"MNIST: {MNIST.obtain}. MNIST-M: {MNIST_M.obtain}."
    releases: ClassVar[tuple[Release, ...]] = (MNIST, MNIST_M)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets as uint8 `[n, size, size, 3]`; `origin["notes"]` says where MNIST-M is a subset."""
        check_size(self.size)
        mnist, mnist_m = locate(self.releases, data_dir, called="mnist-mnistm")
        source = {}
        for split, (x, y) in digit_files.read_mnist(mnist, verify=self.verify).items():
            padded = resize(np.pad(x, ((0, 0), (2, 2), (2, 2))), self.size)
            source[split] = Split(np.repeat(padded[..., None], 3, axis=3), y)
        target, notes = {}, []
        for split, (x, y) in digit_files.read_mnist_m(mnist_m["any"]).items():
            released = MNIST_M_RELEASED[split]
            if self.verify and not np.array_equal(y, source[split].y[: len(y)]):
                raise digit_files.damaged(
                    mnist_m["any"],
                    f"is not the released MNIST-M: its {split} labels should be the first {len(y)} of MNIST's"
                    " (verify=False takes it as it is)",
                )
            if len(y) < released:
                notes.append(f"MNIST-M here is a subset: {len(y):,} of the {released:,} {split} images.")
            target[split] = Split(resize(x, self.size), y)
        origin = _record([*mnist.values(), *mnist_m.values()], tuple(notes))
        return _scenario(source, target, ("mnist", "mnist-m"), name="mnist-mnistm", origin=origin)
