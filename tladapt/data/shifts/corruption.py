"""What a corruption is: a change of 8-bit pictures in five severities, with the constants of a published benchmark.

Deviations that all corruptions share, from the code that made CIFAR-10-C and MNIST-C:
  1. Pixels are rounded to whole numbers; the official code cuts their fraction off, darker by half a grey level.
  2. Random numbers are a function of (seed, role of the domain, position of the example), not those of the official
    sets.
  3. OpenCV, scikit-image and ImageMagick are not used; what they compute is written out in NumPy and SciPy.
  4. Lengths in pixels are those published for 32 x 32 (CIFAR-10-C) and 28 x 28 (MNIST-C), whatever the pictures' size.

Sources: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
ICLR 2019, arXiv:1903.12261, constants of hendrycks/robustness make_cifar_c.py; Mu and Gilmer, "MNIST-C: a robustness
benchmark for computer vision", 2019, arXiv:1906.02337, constants of google-research/mnist-c corruptions.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from tladapt.data.shifts.inputs import InputShift, check_picture

Constants = Literal["cifar_c", "mnist_c"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corruption(InputShift):
    """Base of the corruptions; a subclass has `tables` and defines `corrupted`.

    Raises:
      UsageError: for a severity outside 1 to 5, constants that the corruption has not, or inputs that are no 8-bit
        pictures.
    """

    family: ClassVar[str] = "corruption"
    tables: ClassVar[Mapping[str, tuple[Any, ...]]]
    """The constant of each severity, by benchmark."""
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    """Numbers of channels that it understands."""

    severity: int = 3
    """How strong, from 1 to 5. MNIST-C and most tables about CIFAR-10-C are of severity 5."""
    constants: Constants | None = None
    """Which benchmark's: cifar_c (CIFAR-10-C) or mnist_c (MNIST-C, stronger). None: CIFAR-10-C's where it has any."""
    seed: int = 0
    """What its random numbers are drawn from; severities of one seed draw the same."""

    def check(self) -> None:
        if not 1 <= self.severity <= 5:
            raise self.wrong("severity", "a whole number from 1 to 5")
        if self.constants is not None and self.constants not in self.tables:
            raise self.wrong("constants", f"{' or '.join(self.tables)}, which has this corruption,")

    @property
    def of_mnist(self) -> bool:
        """Whether MNIST-C's constants, and its ways where they differ, are in use."""
        return self.constants == "mnist_c" or "cifar_c" not in self.tables

    def constant(self) -> Any:
        """Return the published constant of this severity."""
        return self.tables["mnist_c" if self.of_mnist else "cifar_c"][self.severity - 1]

    def check_input(self, x: np.ndarray, called: str) -> None:
        check_picture(self, x, called, eight_bit=True, channels=self.channels)

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Return one picture, uint8 `[h, w]` or `[h, w, c]`, corrupted."""
        assert rng is not None
        planes = x[..., None] if x.ndim == 2 else x
        out = self.corrupted(planes / 255.0, rng)  # float64 [h, w, c]
        return np.rint(255 * np.clip(out, 0, 1)).astype(np.uint8).reshape(x.shape)

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return a picture `[h, w, c]` in [0, 1] as another; what leaves [0, 1] is cut off after it."""
        raise NotImplementedError(f"{type(self).__name__} must define corrupted(self, x, rng).")


def blurred(x: np.ndarray, sigma: float, *, mode: str = "nearest", truncate: float = 4.0) -> np.ndarray:
    """Return a picture `[h, w, c]`, or a map `[h, w]`, convolved with a Gaussian of `sigma` pixels along h and w."""
    from scipy.ndimage import gaussian_filter

    along = (sigma, sigma, 0.0)[: x.ndim]
    return np.asarray(gaussian_filter(x, along, mode=mode, truncate=truncate))
