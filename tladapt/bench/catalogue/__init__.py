"""The benchmarks that come with tladapt, one a file; importing this registers them."""

from tladapt.bench.catalogue import amazon_reviews, digits

__all__ = ["amazon_reviews", "digits"]
