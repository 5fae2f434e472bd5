"""Readers of MNIST, USPS and MNIST-M as their authors (or the usual mirror) released them."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from tladapt.data.catalogue.files import Release, cached_arrays, check_sha256, damaged, sha256
from tladapt.data.catalogue.images import decode


class Split(NamedTuple):
    """Images uint8 (USPS: float32 in [0, 1]) `[n, h, w]` or `[n, h, w, 3]`, and labels int32 `[n]`, 0 to 9."""

    x: np.ndarray
    y: np.ndarray


def _names(stem: str) -> tuple[str, ...]:
    dotted = stem.replace("-idx", ".idx")
    return (f"{stem}.gz", stem, f"{dotted}.gz", dotted)


MNIST = Release(
    title="MNIST",
    files={
        "train_x": _names("train-images-idx3-ubyte"),
        "train_y": _names("train-labels-idx1-ubyte"),
        "test_x": _names("t10k-images-idx3-ubyte"),
        "test_y": _names("t10k-labels-idx1-ubyte"),
    },
    folders=("mnist", "MNIST/raw", "mnist/MNIST/raw", "mnist/raw", "MNIST", "."),
    obtain="https://ossci-datasets.s3.amazonaws.com/mnist/ (torchvision's mirror of http://yann.lecun.com/exdb/mnist/)",
    tfds="mnist",
)
# The released .gz, then its unpacked content.
MNIST_SHA256 = {
    "train_x": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_y": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test_x": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_y": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
USPS = Release(
    title="USPS",
    files={"h5": ("usps.h5",)},
    folders=("usps", "USPS", "USPS/raw", "."),
    obtain="https://www.kaggle.com/datasets/bistaumanga/usps-dataset (usps.h5: 7,291 train and 2,007 test images)",
)
USPS_SHA256 = ("734f88c541104a956d88be2c95d03b4a463ffd74ccc2ba9c80841fb98e3fcb36",)
MNIST_M = Release(
    title="MNIST-M",
    files={"any": ("mnist_m.tar.gz", "mnist_m/mnist_m_train_labels.txt", "mnist_m_train_labels.txt", "mnist_m.tar")},
    folders=("mnist_m", "MNIST-M", "mnist-m", "MNIST_M", "."),
    obtain="the authors' archive mnist_m.tar.gz, linked from http://yaroslav.ganin.net (an unpacked mnist_m/ will do)",
)
MNIST_M_RELEASED = {"train": 59_001, "test": 9_001}


def _idx(path: Path, known: tuple[str, ...], *, axes: int, verify: bool) -> np.ndarray:
    """Read one IDX file (big-endian header, then bytes), gzipped or not."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except EOFError:
            raise damaged(path, f"is truncated: the gzip stream ends early ({len(content)} bytes are there)") from None
        except (OSError, zlib.error) as problem:
            raise damaged(path, f"is not a gzip file, or is garbled ({problem})") from None
    magic = 2048 + axes
    if len(content) < 4 + 4 * axes or int.from_bytes(content[:4], "big") != magic:
        got = int.from_bytes(content[:4], "big") if len(content) >= 4 else f"{len(content)} bytes"
        raise damaged(path, f"is not the IDX file it should be: expected the magic number {magic}, got {got}")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if values.size != np.prod(shape):
        raise damaged(
            path, f"is truncated or garbled: its header says {shape} = {np.prod(shape)} bytes, it holds {values.size}"
        )
    if verify:
        check_sha256(path, known, content=content)
    return values.reshape(shape)


def _checked(x: np.ndarray, y: np.ndarray, path: Path) -> Split:
    if len(x) != len(y) or len(x) == 0:
        raise damaged(path, f"does not fit its partner: {len(x)} images, {len(y)} labels")
    if y.min() < 0 or y.max() > 9:
        raise damaged(path, f"holds labels from {y.min()} to {y.max()}; digits are 0 to 9")
    return Split(x, y.astype(np.int32))


def read_mnist(paths: Mapping[str, Path], *, verify: bool = True) -> dict[str, Split]:
    """Return MNIST's "train" (60,000) and "test" (10,000): uint8 `[n, 28, 28]`, ink white on black.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.

    Args:
      paths: "train_x", "train_y", "test_x", "test_y": the IDX files, gzipped or not.
      verify: refuse files that are not the released ones.
    """
    out = {}
    for split in ("train", "test"):
        x = _idx(paths[f"{split}_x"], MNIST_SHA256[f"{split}_x"], axes=3, verify=verify)
        y = _idx(paths[f"{split}_y"], MNIST_SHA256[f"{split}_y"], axes=1, verify=verify)
        out[split] = _checked(x, y, paths[f"{split}_y"])
    return out


def read_usps(path: Path, *, verify: bool = True) -> dict[str, Split]:
    """Return USPS's "train" (7,291) and "test" (2,007): float32 `[n, 16, 16]` in [0, 1], ink white on black.

    Source: Hull, "A database for handwritten text recognition research", PAMI 1994; split as in Hastie, Tibshirani,
      Friedman, "The Elements of Statistical Learning".

    Args:
      path: usps.h5, with groups "train" and "test" of "data" `[n, 256]` and "target" `[n]`.
      verify: refuse a file that is not the released one.
    """
    import h5py

    out = {}
    try:
        with h5py.File(path, "r") as file:
            for split in ("train", "test"):
                x = np.asarray(file[split]["data"], np.float32)
                y = np.asarray(file[split]["target"])
                if x.ndim != 2 or x.shape[1] != 256:
                    raise damaged(path, f"has {split}/data of shape {x.shape}; expected [n, 256]")
                if x.min() < 0 or x.max() > 1:
                    raise damaged(path, f"has grey levels from {x.min():g} to {x.max():g}; usps.h5 has 0 to 1")
                out[split] = _checked(x.reshape(-1, 16, 16), y, path)
    except KeyError:
        raise damaged(path, "has not the groups train/data, train/target, test/data, test/target") from None
    except OSError as problem:
        raise damaged(path, f"is truncated or not an HDF5 file ({problem})") from None
    if verify:
        check_sha256(path, USPS_SHA256)
    return out


class MnistMFiles:
    """The pictures and label files of MNIST-M, from the archive or from its unpacked folder."""

    def __init__(self, path: Path):
        self.path = path if path.suffix in (".gz", ".tar") else path.parent
        self._read: dict[str, bytes] | None = None

    def key(self) -> str:
        """Return what the decoded arrays depend on: the archive's sha256, or the folder's names, sizes and times."""
        if self.path.is_file():
            return sha256(self.path)
        digest = hashlib.sha256()
        for split in MNIST_M_RELEASED:
            digest.update(self.labels(split).encode())
            folder = self.path / f"mnist_m_{split}"
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name) if folder.is_dir() else []
            for entry in entries:
                status = entry.stat()
                digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def labels(self, split: str) -> str:
        """Return the content of a split's label file."""
        return self.content(f"mnist_m_{split}_labels.txt").decode("ascii", "replace")

    def named(self, split: str) -> list[tuple[str, int]]:
        """Return the file name and the label of each picture of a split, in order."""
        lines = [line.split() for line in self.labels(split).splitlines() if line.strip()]
        if not lines or any(len(line) != 2 or not line[1].isdigit() for line in lines):
            raise damaged(self.path, f"has a mnist_m_{split}_labels.txt that is not 'name label' a line")
        return [(name, int(label)) for name, label in lines]

    def content(self, name: str) -> bytes:
        """Return the content of a file, `name` being its place inside mnist_m/."""
        if self.path.is_dir():
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                raise damaged(self.path, f"is incomplete: {name} is not in it") from None
        if self._read is None:
            self._read = self._unpack()
        if name not in self._read:
            raise damaged(self.path, f"is incomplete: mnist_m/{name} is not in it")
        return self._read[name]

    def _unpack(self) -> dict[str, bytes]:
        out: dict[str, Any] = {}
        try:
            with tarfile.open(self.path) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() else None
                    if file is not None:
                        parts = PurePosixPath(member.name).parts
                        out["/".join(parts[-2:] if parts[-1].endswith(".png") else parts[-1:])] = file.read()
        except (tarfile.TarError, EOFError, OSError, zlib.error) as problem:
            raise damaged(self.path, f"is truncated or not a tar archive ({problem})") from None
        return out


def _decoded(pictures: MnistMFiles) -> dict[str, np.ndarray]:
    arrays = {}
    for split in MNIST_M_RELEASED:
        named, x = pictures.named(split), []
        for name, _ in named:
            inside = f"mnist_m_{split}/{name}"
            image = decode(pictures.content(inside), size=None, channels=3, called=f"{inside} in {pictures.path}")
            if image.shape != (32, 32, 3):
                raise damaged(pictures.path, f"has {inside} at {image.shape[1]} x {image.shape[0]}; expected 32 x 32")
            x.append(image)
        done = _checked(np.stack(x), np.array([label for _, label in named]), pictures.path)
        arrays[f"{split}_x"], arrays[f"{split}_y"] = done
    return arrays


def read_mnist_m(path: Path) -> dict[str, Split]:
    """Return MNIST-M's "train" (59,001 as released) and "test" (9,001): uint8 `[n, 32, 32, 3]`.

    Whatever is consistent is taken, a subset included: every picture that a label file names is there and can be
    decoded. Decoding takes some seconds, once: the arrays are kept in the cache directory (TLADAPT_CACHE), by the
    archive's sha256.

    Source: Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky, "Domain-adversarial
      training of neural networks", JMLR 2016, arXiv:1505.07818.

    Args:
      path: mnist_m.tar.gz, or mnist_m_train_labels.txt in the unpacked folder.
    """
    pictures = MnistMFiles(path)
    names = [f"{split}_{what}" for split in MNIST_M_RELEASED for what in "xy"]
    arrays = cached_arrays(f"mnist_m-{pictures.key()[:20]}-v1", names, lambda: _decoded(pictures))
    return {split: Split(arrays[f"{split}_x"], arrays[f"{split}_y"]) for split in MNIST_M_RELEASED}
