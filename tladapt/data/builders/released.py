"""What the builders have in common: released files in, and out of them what TFDS encodes without TensorFlow."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tladapt.data.catalogue.files import Release, checksum, locate

log = logging.getLogger(__name__)
Watcher = Callable[[int, int, str], None]
"""Is told how many examples of how many were read, and of which split."""
_TELL_EVERY = 64


class Part(NamedTuple):
    """One split: how many examples it has, and what makes them one after another."""

    total: int
    examples: Iterable[dict[str, Any]]


@functools.cache
def _taken() -> frozenset[str]:
    """Return the names that TFDS knew before these builders came."""
    return frozenset(tfds.list_builders(with_community_datasets=False))


class Released(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder that makes a prepared set from released files, without TensorFlow.

    The files are looked for in the `manual_dir` of TFDS's `DownloadConfig`, then in the folder that the variable
    TLADAPT_DATA names; nothing is downloaded. Every example has an "index", its place in the released order: TFDS
    shuffles examples as it writes them. The names and sha256 of the files that were read are in the metadata.

    A subclass registers with TFDS by its name in small letters, unless TFDS has a set of that name already.

    Args:
      verify: refuse files whose checksums or numbers of examples are not those of the released ones.
      watcher: is told how far the reading is.
      **rest: of `tfds.core.DatasetBuilder`: data_dir, config, file_format ("array_record" is what can be read without
        TensorFlow).
    """

    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look for these beside the source file, by a package (importlib_resources) that it does not require.
    code_path = None
    url_infos = None

    keys: ClassVar[tuple[str, str]]
    """The input and the label."""
    licence: ClassVar[str]
    """What is known of the terms of use."""

    def __init_subclass__(cls, **rest: Any) -> None:
        cls.name = tfds.core.naming.camelcase_to_snakecase(cls.__name__)
        if cls.name in _taken():
            log.warning("TFDS has a set %r already, which stays as it is; %s is not registered.", cls.name, cls)
        super().__init_subclass__(skip_registration=cls.name in _taken(), **rest)  # type: ignore[call-arg]

    def __init__(self, *, verify: bool = True, watcher: Watcher | None = None, **rest: Any):
        self.verify, self._watcher = verify, watcher
        super().__init__(**rest)

    def needs(self) -> Release:
        """Return the released files that this set, in this config, is made from."""
        raise NotImplementedError

    def features(self) -> dict[str, Any]:
        """Return the features of an example, without its index."""
        raise NotImplementedError

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        """Return the splits by name, read from files that were found."""
        raise NotImplementedError

    def sources(self, paths: Mapping[str, Path]) -> list[Path]:
        """Return the files and folders whose checksums are kept."""
        return list(paths.values())

    def find(self, root: Path | None) -> dict[str, Path]:
        """Return the files of `needs`, below a folder or, without one, below TLADAPT_DATA.

        Raises:
          MissingDataError: names what is missing, where to get it and where to put it.
        """
        return locate((self.needs(),), root, called=f"the TFDS set {self.name!r}")[0]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.getdoc(type(self)),
            features=tfds.features.FeaturesDict({**self.features(), "index": tfds.features.Scalar(np.int32)}),
            supervised_keys=self.keys,
            license=self.licence,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        try:
            root = Path(dl_manager.manual_dir)
        except AssertionError:  # nobody named one
            root = None
        paths = self.find(root)
        parts = self.parts(paths)
        self.info.metadata["sources"] = {path.name: checksum(path) for path in self.sources(paths)}
        return {split: self._generate_examples(split, part) for split, part in parts.items()}

    def _generate_examples(self, split: str, part: Part) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, example in enumerate(part.examples):
            yield index, {**example, "index": index}
            if self._watcher is not None and ((index + 1) % _TELL_EVERY == 0 or index + 1 == part.total):
                self._watcher(index + 1, part.total, split)
