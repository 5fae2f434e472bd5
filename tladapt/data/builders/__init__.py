"""TFDS builders for what TFDS lacks, none of which needs TensorFlow; importing this registers them with TFDS.

After that `tfds.builder("usps", file_format="array_record", data_dir=...)` makes the set, and
`tfds.data_source("usps", split="train", data_dir=...)` reads it; `tladapt data prepare usps` does the first.
"""

from __future__ import annotations

from tladapt.data.builders.amazon_reviews import AmazonReviews, AmazonText
from tladapt.data.builders.digits import MnistM, Usps
from tladapt.data.builders.fsdd import Fsdd
from tladapt.data.builders.office_caltech10 import OfficeCaltech10, OfficeCaltech10Surf
from tladapt.data.builders.prepare import BUILDERS, Made, prepare
from tladapt.data.builders.released import Part, Released

__all__ = [
    "BUILDERS",
    "AmazonReviews",
    "AmazonText",
    "Fsdd",
    "Made",
    "MnistM",
    "OfficeCaltech10",
    "OfficeCaltech10Surf",
    "Part",
    "Released",
    "Usps",
    "prepare",
]
