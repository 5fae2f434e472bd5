"""The conformance kit: what a loss has to do to be one, checked from the outside, with words for what it does not do.

`check_loss(fn)` is for anybody's loss. It exists because an adaptation loss that does nothing trains without an error:
a detached copy, a sum where a mean was meant or a reversed sign show in no traceback and in no shape.
"""

from __future__ import annotations

from tladapt.testing.case import ConformanceError
from tladapt.testing.kit import check_loss

__all__ = ["ConformanceError", "check_loss"]
