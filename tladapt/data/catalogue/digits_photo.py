"""The embedded scenario: scanned digits, and others blended onto photographs, all shipped with scikit-learn."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS, ScenarioEntry
from tladapt.data.catalogue.images import resize
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import MissingPackageError, UsageError

SIDE = 16
BLOCK = 64
PER_CLASS = {"source": 80, "validation": 10, "target": 50}  # scans of each class; the rest (39 to 43) is the test set
PATCHES = {"target": 4, "test": 5}  # patches that each scan is blended onto


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Which scans and which photo regions serve what: all that the data seed decides.

    Every role has its scans in an order that says nothing of their class.
    """

    scans: dict[str, np.ndarray]
    """Role -> indices into scikit-learn's digits; no index stands in two roles."""
    patches: dict[str, np.ndarray]
    """"target" and "test" -> photo, row, column of each patch's corner, int32 `[scans * patches, 3]`."""


@functools.cache
def _shipped() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scans uint8 `[1797, 16, 16]`, labels `[1797]` and photographs uint8 `[2, 427, 640, 3]`."""
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError as problem:
        raise MissingPackageError(
            f"digits-photo is made from scikit-learn's data: pip install scikit-learn ({problem})."
        ) from None
    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # 0..16 -> 0..255
    return resize(grey, SIDE), digits.target.astype(np.int32), np.stack(load_sample_images().images)


def plan(seed: int) -> Plan:
    """Return the scans of each role and the photo region of each patch, as a function of the data seed.

    The photographs are cut into blocks of 64 x 64 pixels; half of each photo's blocks, drawn at random, serve the
    target's training images and the other half its test images. A patch lies within one block.
    """
    if seed < 0:
        raise UsageError(f"seed of digits-photo must be an integer from 0 on, got {seed}.")
    _, labels, photos = _shipped()
    rng = np.random.RandomState(np.random.MT19937([seed, 0x70686F74]))  # the generator that NumPy keeps fixed for good
    dealt: dict[str, list[np.ndarray]] = {role: [] for role in (*PER_CLASS, "test")}
    for label in range(10):
        order = rng.permutation(np.flatnonzero(labels == label))
        for role, count in PER_CLASS.items():
            dealt[role].append(order[:count])
            order = order[count:]
        dealt["test"].append(order)
    scans = {role: rng.permutation(np.concatenate(parts)) for role, parts in dealt.items()}

    n_photos, height, width, _ = photos.shape
    rows, columns = height // BLOCK, width // BLOCK
    halves: dict[str, list[np.ndarray]] = {"target": [], "test": []}
    for photo in range(n_photos):
        blocks = rng.permutation(rows * columns)
        for role, half in zip(halves, np.array_split(blocks, 2), strict=True):
            row, column = np.divmod(half, columns)
            halves[role].append(np.stack([np.full_like(half, photo), row * BLOCK, column * BLOCK], axis=1))
    patches = {}
    for role, parts in halves.items():
        blocks = np.concatenate(parts)  # [blocks, 3]
        count = len(scans[role]) * PATCHES[role]
        corner = blocks[rng.randint(len(blocks), size=count)]
        corner[:, 1:] += rng.randint(BLOCK - SIDE + 1, size=(count, 2))
        patches[role] = corner.astype(np.int32)
    return Plan(scans=scans, patches=patches)


def blend(digits: np.ndarray, patches: np.ndarray, contrast: float) -> np.ndarray:
    """Return |contrast * patch - digit| per channel, uint8 `[n, h, w, 3]`.

    Args:
      digits: uint8 `[n, h, w]`, ink white on black.
      patches: uint8 `[n, h, w, 3]`.
      contrast: scale of the patches, in (0, 1].
    """
    ground = np.rint(contrast * patches.astype(np.float32)).astype(np.int16)
    return np.abs(ground - digits[..., None].astype(np.int16)).astype(np.uint8)


@SCENARIOS.register("digits-photo")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitsPhoto(ScenarioEntry):
    """Scanned digits to digits on photographs, RGB 16 x 16; needs no file.

    Source: 800 of the 1,797 scans of scikit-learn's digits (8 x 8, enlarged, ink white on black), and 100 more for
      validation.
    Target: 500 other scans, each blended as |patch - digit| onto 4 patches of the two photographs that scikit-learn
      ships: 2,000 unlabelled images. Test: the remaining 397 scans, each on 5 patches: 1,985 images, whose `groups`
      are the scans, so that intervals are taken over 397 digits. No scan serves two roles; no photo region serves
      both training and test. Writers are not told apart: scikit-learn's copy does not say who wrote what.

    The construction is that of MNIST-M: Ganin et al., JMLR 2016, arXiv:1505.07818.

    Deviations from the paper:
      1. The digits are scikit-learn's, the photographs two; MNIST-M has MNIST and BSDS500.
      2. `contrast` scales the patch before the difference; 1 is the paper's.
    """

    seed: int = 0
    """The data seed: which scans serve what, which photo blocks are for training, where patches are cut."""
    contrast: float = 0.4
    """How strongly the photographs show, in (0, 1]: the patch is scaled by it; 1 is MNIST-M's construction. The
    default was fixed with target labels in sight, on data seeds 100 to 102."""

    summary: ClassVar[str] = (
        "scanned digits 800 -> other digits on photographs 2,000, tested on 1,985 (397 digits); RGB 16 x 16; no files"
    )
    domains: ClassVar[tuple[str, ...]] = ("scans", "photo")
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "800 scans are the source, 500 others on photographs the target (2,000), the other 397 the test set (1,985)."
    )
    sizes: ClassVar[Mapping[str, int]] = {"scans": 900, "photo": 3_985}
    licence: ClassVar[str] = (
        "Digits: UCI, CC BY 4.0. Photographs: CC BY, authors named in scikit-learn's images/README.txt."
    )

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Make the scenario; `data_dir` is not used."""
        del data_dir
        if not 0 < self.contrast <= 1:
            raise UsageError(f"contrast of digits-photo must be above 0 and at most 1, got {self.contrast}.")
        chosen = plan(self.seed)
        scans, labels, photos = _shipped()

        def plain(role: str, name: str) -> Domain:
            index = chosen.scans[role]
            return Domain(np.repeat(scans[index][..., None], 3, axis=3), labels[index], name=name)

        def blended(role: str, name: str) -> Domain:
            groups = np.repeat(np.arange(len(chosen.scans[role])), PATCHES[role])
            index = chosen.scans[role][groups]
            photo, row, column = chosen.patches[role].T
            span = np.arange(SIDE)
            # [n, 1, 1], [n, h, 1], [n, 1, w] -> [n, h, w, 3]
            patches = photos[
                photo[:, None, None],
                row[:, None, None] + span[None, :, None],
                column[:, None, None] + span[None, None, :],
            ]
            return Domain(blend(scans[index], patches, self.contrast), labels[index], name=name, groups=groups)

        return Scenario(
            plain("source", "scans"),
            blended("target", "photo"),
            blended("test", "photo test"),
            validation=plain("validation", "scans held out"),
            classes=self.classes,
            name="digits-photo",
        )
