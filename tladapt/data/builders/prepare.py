"""`prepare("usps")`: a set in TFDS's random-access format from released files; whole or absent, and made once."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow_datasets as tfds

from tladapt.data.builders.amazon_reviews import AmazonReviews, AmazonText
from tladapt.data.builders.digits import MnistM, Usps
from tladapt.data.builders.fsdd import Fsdd
from tladapt.data.builders.office_caltech10 import OfficeCaltech10, OfficeCaltech10Surf
from tladapt.data.builders.released import Released, Watcher
from tladapt.data.catalogue.files import data_directory
from tladapt.data.catalogue.prepared import require_array_record
from tladapt.errors import MissingDataError, UnknownNameError, UsageError
from tladapt.registry import suggest

BUILDERS: dict[str, type[Released]] = {
    builder.name: builder
    for builder in (Usps, MnistM, OfficeCaltech10, OfficeCaltech10Surf, Fsdd, AmazonReviews, AmazonText)
}
"""The builders by the name that TFDS knows them under."""


class Made(NamedTuple):
    """A prepared set: its name (with its config), its folder, examples of each split, and whether it was there."""

    name: str
    folder: Path
    sizes: dict[str, int]
    was_there: bool


def default_out(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return where sets are written unless told otherwise; `tfds:NAME` looks there.

    TFDS_DATA_DIR if set, else the folder tensorflow_datasets in the data directory, else ~/tensorflow_datasets.
    """
    if own := os.environ.get("TFDS_DATA_DIR"):
        return Path(own).expanduser()
    root = data_directory(data_dir)
    return (Path("~").expanduser() if root is None else root) / "tensorflow_datasets"


def prepare(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    verify: bool = True,
    watcher: Watcher | None = None,
) -> list[Made]:
    """Write a set as array_record from released files, all its configs, or say that it is there.

    Each set is written beside its place and renamed, so that it is whole or absent; what a killed call left behind is
    removed by the next one. Of two calls at once, the second waits for the first.

    Args:
      name: one of `BUILDERS`, "NAME" or "NAME/CONFIG"; "mnist-m" is read as "mnist_m".
      data_dir: where the released files are; None: the variable TLADAPT_DATA.
      out: where sets go, OUT/NAME/VERSION; None: `default_out`.
      verify: refuse files whose checksums or numbers of examples are not those of the released ones.
      watcher: is told how many examples of how many were read, and of what.

    Returns:
      The sets, one a config.

    Raises:
      UnknownNameError: for a name or a config that there is not; the message lists the close ones.
      MissingDataError, DamagedDataError: for files.
      UsageError: where `out` cannot be written.
      MissingPackageError: without array_record.

    Example:
      >>> prepare("mnist")
      Traceback (most recent call last):
      tladapt.errors.UnknownNameError: TFDS has 'mnist' itself: ...
    """
    require_array_record(f"preparing {name}")
    stem, _, config = name.partition("/")
    builder = BUILDERS.get(stem.replace("-", "_"))
    if builder is None:
        if stem in tfds.list_builders(with_community_datasets=False):
            raise UnknownNameError(
                f"TFDS has {stem!r} itself: tensorflow_datasets.builder({stem!r}, file_format='array_record', data_dir="
                f"DIR).download_and_prepare() makes it (most of its builders need TensorFlow for that), and tfds:{stem}"
                " reads it."
            )
        raise UnknownNameError(f"There is no builder {stem!r}.{suggest(stem, BUILDERS)}")
    configs = [one.name for one in builder.BUILDER_CONFIGS] or [""]
    if config and config not in configs:
        raise UnknownNameError(f"{builder.name} has no config {config!r}.{suggest(config, configs)}")
    root, target = data_directory(data_dir), Path(out).expanduser() if out is not None else default_out(data_dir)
    try:
        with _alone(target / builder.name), _quiet():
            makers = [
                builder(
                    data_dir=str(target),
                    config=one or None,
                    file_format="array_record",
                    verify=verify,
                    watcher=None if watcher is None else functools.partial(_tell, watcher, builder.name, one),
                )
                for one in ([config] if config else configs)
            ]
            absent = [maker for maker in makers if not _is_there(maker)]
            for maker in absent:
                maker.find(root)  # all of them before anything is written
            for maker in absent:
                _write(maker, root)
    except MissingDataError:
        raise
    except OSError as problem:
        raise UsageError(f"{target} cannot be written ({problem}); name another folder by --out DIR.") from problem
    return [_made(maker, was_there=maker not in absent) for maker in makers]


def _tell(watcher: Watcher, name: str, config: str, done: int, total: int, split: str) -> None:
    watcher(done, total, f"{name}/{config} {split}" if config else f"{name} {split}")


def _is_there(maker: Released) -> bool:
    return (Path(maker.data_dir) / "dataset_info.json").is_file()


def _write(maker: Released, root: Path | None) -> None:
    with tempfile.TemporaryDirectory() as downloads:  # TFDS makes folders for them, which stay empty
        maker.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(
                manual_dir=None if root is None else str(root), try_download_gcs=False
            ),
        )


def _made(maker: Released, *, was_there: bool) -> Made:
    name = f"{maker.name}/{maker.builder_config.name}" if maker.builder_config else maker.name
    sizes = {split: info.num_examples for split, info in maker.info.splits.items()}
    return Made(name, Path(maker.data_dir), sizes, was_there)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder of a set; leave nothing half made in it, neither of an earlier call nor of this one."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # is given up by a process that dies
        if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            break
        os.close(descriptor)  # whoever held it left nothing, and removed it
    try:
        _tidy(folder)
        yield
    finally:
        _tidy(folder)
        if not any(folder.rglob("dataset_info.json")):
            shutil.rmtree(folder)
        os.close(descriptor)


def _tidy(folder: Path) -> None:
    """Remove what is half made below the folder of a set."""
    for half in [*folder.glob("incomplete.*"), *folder.glob("*/incomplete.*")]:
        shutil.rmtree(half)
    for path in folder.iterdir():
        if path.is_dir() and not any(path.iterdir()):  # a config without a version
            path.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TFDS from printing and from drawing bars of its own."""
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
