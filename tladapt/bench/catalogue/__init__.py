"""The benchmarks that come with tladapt, one a file; importing this registers them."""

from tladapt.bench.catalogue import amazon_reviews, digits, heart, office_caltech10, spoken_digits

__all__ = ["amazon_reviews", "digits", "heart", "office_caltech10", "spoken_digits"]
