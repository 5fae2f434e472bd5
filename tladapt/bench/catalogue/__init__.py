"""The benchmarks that come with tladapt, one a file; importing this registers them."""

from tladapt.bench.catalogue import (
    activity,
    amazon_reviews,
    digits,
    domainnet,
    heart,
    office31,
    office_caltech10,
    office_home,
    spoken_digits,
    visda2017,
)

__all__ = [
    "activity",
    "amazon_reviews",
    "digits",
    "domainnet",
    "heart",
    "office31",
    "office_caltech10",
    "office_home",
    "spoken_digits",
    "visda2017",
]
