"""Readers of SVHN and SynDigits: MATLAB files of one layout, pictures RGB 32 x 32."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tladapt.data.catalogue.digit_files import Split
from tladapt.data.catalogue.files import Release, check_sha256, damaged

SVHN = Release(
    title="SVHN, cropped digits",
    files={"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
    folders=("svhn", "SVHN", "."),
    obtain="http://ufldl.stanford.edu/housenumbers/ (train_32x32.mat and test_32x32.mat, format 2)",
    tfds="svhn_cropped",
)
SVHN_SHA256 = {
    "train": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "test": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
}
SVHN_RELEASED = {"train": 73_257, "test": 26_032}
SYN_DIGITS = Release(
    title="SynDigits",
    files={"train": ("synth_train_32x32.mat",), "test": ("synth_test_32x32.mat",)},
    folders=("syndigits", "SynthDigits", "synth_digits", "syn", "."),
    obtain="SynthDigits.zip, linked from http://yaroslav.ganin.net (unpacked)",
)
SYN_DIGITS_RELEASED = {"train": 479_400, "test": 9_553}


def read_mat(path: Path) -> Split:
    """Return pictures uint8 `[n, 32, 32, 3]` and labels int32 `[n]`, 0 to 9; a label 10 is the digit 0.

    Args:
      path: a MATLAB file with X `[32, 32, 3, n]`, uint8, and y `[n, 1]`.

    Raises:
      DamagedDataError: for a file that is something else.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        read = loadmat(path, variable_names=["X", "y"])
        x, y = np.asarray(read["X"]), np.asarray(read["y"]).reshape(-1).astype(np.int64)
    except KeyError as name:
        raise damaged(path, f"is a MATLAB file without the array {name}") from None
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, zlib.error) as problem:
        raise damaged(path, f"is truncated or not a MATLAB file ({problem})") from None
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.dtype != np.uint8 or x.shape[3] != len(y) or len(y) == 0:
        raise damaged(
            path, f"has X {x.dtype} of shape {x.shape} and {len(y)} labels; expected uint8 [32, 32, 3, n] and n"
        )
    if y.min() < 0 or y.max() > 10 or {0, 10} <= set(np.unique(y).tolist()):
        raise damaged(
            path, f"has labels from {y.min()} to {y.max()}; expected 0 to 9, or 1 to 10 with 10 for the digit 0"
        )
    return Split(np.ascontiguousarray(x.transpose(3, 0, 1, 2)), (y % 10).astype(np.int32))


def read_svhn(paths: Mapping[str, Path], *, verify: bool = True) -> dict[str, Split]:
    """Return SVHN's "train" (73,257) and "test" (26,032) as `read_mat` does.

    Source: Netzer, Wang, Coates, Bissacco, Wu, Ng, "Reading digits in natural images with unsupervised feature
      learning", NIPS workshop on deep learning 2011.

    Args:
      paths: "train" and "test": the MATLAB files.
      verify: refuse files that are not the released ones.
    """
    out = {split: read_mat(paths[split]) for split in SVHN_RELEASED}
    if verify:
        for split, known in SVHN_SHA256.items():
            check_sha256(paths[split], (known,))
    return out


def read_syn_digits(paths: Mapping[str, Path], *, verify: bool = True) -> dict[str, Split]:
    """Return SynDigits' "train" (479,400) and "test" (9,553) as `read_mat` does: digits drawn from fonts.

    Source: Ganin, Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015, arXiv:1409.7495.

    Args:
      paths: "train" and "test": the MATLAB files.
      verify: refuse files with other numbers of pictures than the released ones, whose checksums are not known here.
    """
    out = {split: read_mat(paths[split]) for split in SYN_DIGITS_RELEASED}
    for split, released in SYN_DIGITS_RELEASED.items():
        if verify and len(out[split].y) != released:
            raise damaged(
                paths[split],
                f"is not the released file: expected {released:,} pictures, got {len(out[split].y):,} (verify=False"
                " takes it as it is)",
            )
    return out
