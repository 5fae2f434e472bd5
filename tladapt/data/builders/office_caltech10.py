"""Office-Caltech-10 for TFDS: pictures as released, and SURF features; a config is a domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tladapt.data.builders.released import Part, Released
from tladapt.data.catalogue.files import Release, check_sha256
from tladapt.data.catalogue.image_entry import class_indices
from tladapt.data.catalogue.office_caltech10 import (
    ARCHIVE,
    CLASSES,
    DOMAINS,
    IMAGES,
    IMAGES_SHA256,
    check_counts,
)
from tladapt.data.catalogue.office_caltech10_surf import SURF, SURF_SHA256, read_surf
from tladapt.data.catalogue.picture_files import FoundPictures, find_pictures

_LICENCE = "none stated; Office-31 and Caltech-256 are given out for research."


class OfficeCaltech10(Released):
    """Office-Caltech-10: ten kinds of office things, one domain a config; all pictures are in the split "train".

    Amazon has 958 pictures, Caltech-256 1,123, DSLR 157, webcam 295. JPEG bytes are unchanged, so sizes differ.

    Source: Saenko, Kulis, Fritz, Darrell, "Adapting visual category models to new domains", ECCV 2010 (Office-31);
      Griffin, Holub, Perona, "Caltech-256 object category dataset", 2007; Gong, Shi, Sha, Grauman, "Geodesic flow
      kernel for unsupervised domain adaptation", CVPR 2012 (the ten classes).
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = IMAGES.obtain
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in DOMAINS]  # noqa: RUF012 (as TFDS has it)
    keys = ("image", "label")
    licence = _LICENCE

    def needs(self) -> Release:
        name = self.builder_config.name
        return dataclasses.replace(IMAGES, files={name: IMAGES.files[name]})

    def features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=CLASSES),
            "filename": tfds.features.Text(),
        }

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        domain = self.builder_config.name
        path = paths[domain]
        if self.verify and path.name == ARCHIVE:
            check_sha256(path, (IMAGES_SHA256,))
        files = find_pictures(path, IMAGES.files[domain])
        y = class_indices(domain, files, CLASSES, called=IMAGES.title)
        if self.verify:
            check_counts(domain, y, path)
        return {"train": Part(len(y), self._pictures(files, y))}

    @staticmethod
    def _pictures(files: FoundPictures, y: np.ndarray) -> Iterator[dict[str, Any]]:
        for place, label in zip(files.places.values(), y, strict=True):
            yield {"image": files.content(place), "label": int(label), "filename": PurePosixPath(place).name}


class OfficeCaltech10Surf(Released):
    """SURF features of Office-Caltech-10: how often each of 800 visual words occurs; one domain a config.

    Counts as released, uint8; all examples are in the split "train".

    Source: Gong, Shi, Sha, Grauman, "Geodesic flow kernel for unsupervised domain adaptation", CVPR 2012.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = SURF.obtain
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in DOMAINS]  # noqa: RUF012 (as TFDS has it)
    keys = ("counts", "label")
    licence = _LICENCE

    def needs(self) -> Release:
        name = self.builder_config.name
        return dataclasses.replace(SURF, files={name: SURF.files[name]})

    def features(self) -> dict[str, Any]:
        return {
            "counts": tfds.features.Tensor(shape=(800,), dtype=np.uint8, encoding=tfds.features.Encoding.ZLIB),
            "label": tfds.features.ClassLabel(names=CLASSES),
        }

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        name = self.builder_config.name
        x, y = read_surf(paths[name])
        if self.verify:
            check_sha256(paths[name], (SURF_SHA256[name],))
        counts = x.astype(np.uint8)
        return {"train": Part(len(y), ({"counts": c, "label": int(i)} for c, i in zip(counts, y, strict=True)))}
