"""Readers of activity recordings: UCI HAR, WISDM and HHAR as released, and windows that somebody has cut already."""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tladapt.data.catalogue.files import Release, cached_arrays, damaged, sha256

SPOILT = 0.01
"""The share of records that cannot be read up to which a recording is taken all the same; WISDM as released has some
that were cut off or written into each other."""


class Windows(NamedTuple):
    """Windows float32 `[n, time, channels]`, class indices int64 `[n]`, names of persons `[n]`."""

    x: np.ndarray
    y: np.ndarray
    person: np.ndarray


HAR = Release(
    title="UCI HAR",
    files={
        "any": (
            "UCI HAR Dataset.zip",
            "UCI HAR Dataset/train/y_train.txt",
            "train/y_train.txt",
            "har.npz",
        )
    },
    folders=("har", "uci_har", "UCI HAR Dataset", "."),
    obtain="https://archive.ics.uci.edu/dataset/240/human+activity+recognition+using+smartphones (UCI HAR Dataset.zip)",
)
WISDM = Release(
    title="WISDM activities 1.1",
    files={"any": ("WISDM_ar_v1.1_raw.txt", "WISDM_ar_v1.1/WISDM_ar_v1.1_raw.txt", "wisdm.npz")},
    folders=("wisdm", "WISDM", "WISDM_ar_v1.1", "."),
    obtain="https://www.cis.fordham.edu/wisdm/dataset.php (WISDM_ar_latest.tar.gz, unpacked)",
)
HHAR = Release(
    title="HHAR",
    files={"any": ("Phones_accelerometer.csv", "Activity recognition exp/Phones_accelerometer.csv", "hhar.npz")},
    folders=("hhar", "HHAR", "."),
    obtain="https://archive.ics.uci.edu/dataset/344/heterogeneity+activity+recognition (Activity recognition exp.zip,"
    " unpacked)",
)


def digest(path: Path) -> str:
    """Return the sha256 of a file of up to 100 MB, and "" of a larger one."""
    return sha256(path) if path.stat().st_size <= 100_000_000 else ""


def kept(path: Path, stem: str, make: Callable[[], Windows]) -> Windows:
    """Return the windows that `make` reads from a file, or what the cache has of the file as it is now."""
    status = path.stat()
    name = f"{stem}-{status.st_size}-{status.st_mtime_ns}-v1"
    arrays = cached_arrays(name, Windows._fields, lambda: make()._asdict())
    return Windows(**arrays)


def read_npz(path: Path, classes: Sequence[str]) -> Windows:
    """Return windows that somebody has cut: x `[n, time, channels]`, y `[n]` and person `[n]` in one .npz.

    Args:
      path: the file; y holds class indices, or names, and person numbers or names.
      classes: the classes in order.

    Raises:
      DamagedDataError: for other arrays, shapes or classes.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y, person = (np.asarray(file[name]) for name in Windows._fields)
    except KeyError as name:
        raise damaged(path, f"has no array {name}; expected x, y and person") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise damaged(path, f"is truncated or not an .npz file ({problem})") from None
    if x.ndim != 3 or x.dtype.kind not in "fiu" or y.shape != (len(x),) or person.shape != (len(x),):
        raise damaged(
            path, f"has x of {x.shape}, y of {y.shape}, person of {person.shape}; expected [n, t, c], [n], [n]"
        )
    if y.dtype.kind == "U":
        unknown = sorted(set(y.tolist()) - set(classes))
        if unknown:
            raise damaged(path, f"has activities such as {unknown[0]!r}; expected {', '.join(classes)}")
        y = np.array([classes.index(name) for name in y.tolist()])
    if y.dtype.kind not in "iu" or len(y) == 0 or y.min() < 0 or y.max() >= len(classes):
        raise damaged(path, f"has y that are no class indices from 0 to {len(classes) - 1}")
    return Windows(x.astype(np.float32), y.astype(np.int64), person.astype(str))


def read_har(path: Path) -> Windows:
    """Return the windows of UCI HAR, those of its training set first: `[10299, 128, 9]`.

    Channels: body acceleration (g), angular velocity (rad/s) and total acceleration (g), x, y and z each, at 50 Hz.

    Source: Anguita, Ghio, Oneto, Parra, Reyes-Ortiz, "A public domain dataset for human activity recognition using
      smartphones", ESANN 2013.

    Args:
      path: UCI HAR Dataset.zip, or y_train.txt in its unpacked folder train.
    """
    parts = []
    with _Folder(path) as folder:
        for split in ("train", "test"):
            signals = [f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"]
            x = np.stack([folder.numbers(f"{split}/Inertial Signals/{name}_{split}.txt") for name in signals], axis=2)
            y, person = (folder.numbers(f"{split}/{name}_{split}.txt").reshape(-1) for name in ("y", "subject"))
            if len({len(x), len(y), len(person)}) > 1:
                raise damaged(path, f"has {len(x)} {split} windows, {len(y)} labels and {len(person)} persons")
            if y.min() < 1 or y.max() > 6:
                raise damaged(path, f"has {split} labels from {y.min():g} to {y.max():g}; expected 1 to 6")
            parts.append(Windows(x.astype(np.float32), y.astype(np.int64) - 1, person.astype(np.int64).astype(str)))
    return Windows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class _Folder:
    """The text files of UCI HAR, in a folder or in the released archive."""

    def __init__(self, path: Path):
        self.path = path
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> _Folder:
        if self.path.suffix == ".zip":
            try:
                self._zip = zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile) as problem:
                raise damaged(self.path, f"is truncated or not a zip archive ({problem})") from None
        return self

    def __exit__(self, *unused: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def numbers(self, name: str) -> np.ndarray:
        """Return the numbers of a text file, float64 `[lines, columns]`."""
        try:
            if self._zip is None:
                text = (self.path.parents[1] / name).read_text("ascii")
            else:
                text = self._zip.read(f"UCI HAR Dataset/{name}").decode("ascii")
            return np.loadtxt(io.StringIO(text), ndmin=2)
        except (FileNotFoundError, KeyError):
            raise damaged(self.path, f"is incomplete: {name} is not in it") from None
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as problem:
            raise damaged(self.path, f"has {name}, which is no table of numbers ({problem})") from None


class _Recording:
    """Records of acceleration as they are read, in compact columns."""

    def __init__(self, path: Path, classes: Mapping[str, int]):
        self.path = path
        self._classes = classes
        self._people: dict[str, int] = {}  # "person" or "person device" -> number
        self._who, self._activity, self._values = array("i"), array("i"), array("f")
        self._spoilt = 0

    def add(self, who: str, activity: str, values: Sequence[str]) -> None:
        """Take in a record; one whose values are no numbers is counted only."""
        try:
            x, y, z = map(float, values)
        except ValueError:
            self._spoilt += 1
            return
        self._who.append(self._people.setdefault(who, len(self._people)))
        self._activity.append(self._classes.get(activity, -1))
        self._values.extend((x, y, z))

    def spoilt(self) -> None:
        """Count a record that cannot be read."""
        self._spoilt += 1

    def windows(self, window: int, step: int) -> Windows:
        """Return windows of consecutive records of one person (and device) and one activity.

        A stretch ends where the activity changes; windows begin at each `step` records of it, and the rest at its end
        is left out. Other activities than the classes are left out. Gaps in time are not looked at.

        Raises:
          DamagedDataError: where more than `SPOILT` of the records could not be read, or there is no window.
        """
        total = len(self._who) + self._spoilt
        if self._spoilt > SPOILT * total or not self._who:
            raise damaged(self.path, f"has {self._spoilt:,} of {total:,} records that cannot be read")
        order = np.argsort(np.array(self._who), kind="stable")
        who, activity = np.array(self._who)[order], np.array(self._activity)[order]
        values = np.array(self._values, np.float32).reshape(-1, 3)[order]
        changes = np.flatnonzero((np.diff(who) != 0) | (np.diff(activity) != 0)) + 1
        names = [name.split(" ")[0] for name in self._people]
        x, y, person = [], [], []
        for start, stop in itertools.pairwise([0, *changes.tolist(), len(who)]):
            if activity[start] < 0 or stop - start < window:
                continue
            views = np.lib.stride_tricks.sliding_window_view(values[start:stop], window, axis=0)[::step]  # [n, 3, t]
            x.append(views.transpose(0, 2, 1))
            y += [int(activity[start])] * len(views)
            person += [names[who[start]]] * len(views)
        if not x:
            raise damaged(self.path, f"has no {window} records in a row of one person and one activity")
        return Windows(np.concatenate(x), np.array(y), np.array(person))


def read_wisdm(path: Path, classes: Mapping[str, int], *, window: int, step: int) -> Windows:
    """Return windows of WISDM 1.1: acceleration in x, y and z at 20 Hz, of a phone in a trouser pocket.

    Records that were cut off or written into each other are left out (`SPOILT`).

    Source: Kwapisz, Weiss, Moore, "Activity recognition using cell phone accelerometers", SIGKDD Explorations 2010.

    Args:
      path: WISDM_ar_v1.1_raw.txt: "person,activity,timestamp,x,y,z;" a record.
      classes: the index of each activity.
      window: length of a window in records.
      step: records from the beginning of one window to that of the next.
    """
    recording = _Recording(path, classes)
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            for text in line.split(";"):
                parts = text.strip().rstrip(",").split(",")
                if len(parts) == 6 and parts[0].isdigit():
                    recording.add(parts[0], parts[1], parts[3:])
                elif parts != [""]:
                    recording.spoilt()
    return recording.windows(window, step)


def read_hhar(path: Path, classes: Mapping[str, int], *, model: str, window: int, step: int) -> Windows:
    """Return windows of HHAR's phones of one model: acceleration in x, y and z (m/s^2), at 50 to 200 Hz by model.

    Source: Stisen, Blunck, Bhattacharya, Prentow, Kjaergaard, Dey, Sonne, Jensen, "Smart devices are different:
      assessing and mitigating mobile sensing heterogeneities for activity recognition", SenSys 2015.

    Args:
      path: Phones_accelerometer.csv, with columns x, y, z, User, Model, Device and gt (the activity).
      classes: the index of each activity.
      model: nexus4, s3, s3mini or samsungold.
      window: as for `read_wisdm`.
      step: as for `read_wisdm`.
    """
    recording = _Recording(path, classes)
    with open(path, encoding="ascii", errors="replace", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        try:
            x, y, z, user, kind, device, gt = map(header.index, ("x", "y", "z", "User", "Model", "Device", "gt"))
        except ValueError as problem:
            raise damaged(path, f"has not the columns x, y, z, User, Model, Device, gt ({problem})") from None
        for row in rows:
            if len(row) != len(header):
                recording.spoilt()
            elif row[kind] == model:
                recording.add(f"{row[user]} {row[device]}", row[gt], (row[x], row[y], row[z]))
    return recording.windows(window, step)
