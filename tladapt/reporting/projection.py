"""From features to the plane: t-SNE, kept in the run's folder because it takes seconds, and PCA, which takes none."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.errors import DamagedDataError
from tladapt.reporting.folder import RunFiles, write_whole

_SHOWN = 250  # points of each domain
_KEPT = 50  # principal components that t-SNE starts from


def project(features: Any, *, seed: int = 0) -> np.ndarray:
    """Map features to the plane by t-SNE on their first 50 principal components.

    Args:
      features: `[n, d]`; those of both domains together, or distances between the two would mean nothing.
      seed: of t-SNE.

    Returns:
      `[n, 2]` float64. Only neighbourhoods can be read off it: axes have no unit, sizes and gaps no scale.

    Source: van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 9 (2008).
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(axis=0, keepdims=True)
    scale = np.abs(x).max(initial=0.0)
    n, d = x.shape
    if n < 5 or d < 2 or scale == 0:  # too little for neighbourhoods: shown as it is
        return np.concatenate([x, np.zeros((n, 2))], axis=1)[:, :2]
    tsne = TSNE(2, perplexity=min(30.0, (n - 1) / 3), init="pca", max_iter=500, random_state=seed)
    # One thread: on a busy machine the threads of both wait for each other, up to 70 times longer than one needs.
    with threadpool_limits(1):
        principal = PCA(min(_KEPT, d, n), random_state=seed).fit_transform(x / scale)
        return np.asarray(tsne.fit_transform(principal), dtype=np.float64)


def thinned(count: int) -> np.ndarray:
    """Return which of a domain's examples stand on a map: at most 250, evenly spaced; more cost time and hide others.

    >>> len(thinned(100)), len(thinned(500))
    (100, 250)
    """
    return np.linspace(0, count - 1, min(count, _SHOWN)).astype(np.int64)


def mapped(
    outputs: Mapping[str, np.ndarray], *, to_plane: Callable[[np.ndarray], np.ndarray] = project
) -> dict[str, np.ndarray]:
    """Return maps of the features "before" and "after" training, `[n_s + n_t, 2]`; none of those not kept.

    Where features are not finite there is no map at all.

    Args:
      outputs: of a run. Of each domain, the examples that `thinned` names are mapped, the source's first.
      to_plane: `project` (t-SNE) or `principal` (PCA).
    """
    maps = {}
    for moment in ("before", "after"):
        if {f"{moment}_source", f"{moment}_target"} <= outputs.keys():
            parts = [outputs[f"{moment}_{domain}"] for domain in ("source", "target")]
            features = np.concatenate([part[thinned(len(part))] for part in parts])
            if not np.isfinite(features).all():
                return {}
            maps[moment] = to_plane(features)
    return maps


def principal(features: np.ndarray) -> np.ndarray:
    """Return `[n, 2]`: features along the two directions in which they vary most (PCA)."""
    x = np.asarray(features, np.float64)
    x = x - x.mean(axis=0)
    if x.shape[1] < 2:
        return np.concatenate([x, np.zeros((len(x), 2))], axis=1)[:, :2]
    return np.asarray(x @ np.linalg.eigh(x.T @ x)[1][:, :-3:-1])


def save_maps(run: RunFiles, maps: Mapping[str, np.ndarray]) -> Path:
    """Write maps to `figures/maps.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: points.astype(np.float32) for name, points in maps.items()})  # type: ignore[arg-type]
    return write_whole(run.path / "figures" / "maps.npz", buffer.getvalue())


def kept_maps(run: RunFiles) -> dict[str, np.ndarray]:
    """Return the maps that were written with the figures; empty where there are none.

    Raises:
      DamagedDataError: for a file that is garbled.
    """
    file = run.path / "figures" / "maps.npz"
    if not file.is_file():
        return {}
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedDataError(f"{file} cannot be read ({error}). Remove it: figures bring it.") from error
