"""Maps of source and target features for a page: linear and quick, where the figures take t-SNE and seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tladapt.reporting.charts import legend
from tladapt.reporting.folder import RunFiles
from tladapt.reporting.measures import names_of
from tladapt.reporting.page import Markup, paragraph, render, tag
from tladapt.reporting.plots import Cloud, scatter_chart
from tladapt.reporting.projection import kept_maps, mapped, principal, thinned
from tladapt.reporting.sections import LISTED

_SHORT = 8  # letters; where a class has a longer name, all stand on the map as numbers


def features(run: RunFiles, *, moments: Sequence[str] = ("before", "after"), explained: bool = True) -> list[Markup]:
    """Return maps of source and target features; empty where the run kept none, or some that are not finite."""
    outputs = run.outputs()
    maps = kept_maps(run)
    way = _TSNE if maps else _PCA
    maps = maps or mapped(outputs, to_plane=principal)
    charts: list[Markup] = []
    for moment in moments:
        if moment not in maps or not {f"{moment}_source", f"{moment}_target"} <= outputs.keys():
            continue
        labels = []
        for domain in ("source", "target"):
            count = len(outputs[f"{moment}_{domain}"])
            labels.append(outputs.get(f"{domain}_labels", np.full(count, -1))[thinned(count)].astype(np.int64))
        source, target = maps[moment][: len(labels[0])], maps[moment][len(labels[0]) :]
        clouds = [Cloud(source, "var(--s0)", False), Cloud(target, "var(--s1)", True)]
        when = {"before": "Before training", "after": "After training"}[moment]
        said = f"{len(source)} source and {len(target)} target examples"
        charts.append(scatter_chart(f"{when}, by domain", clouds, [], said=said))
        charts.append(_by_class(f"{when}, by class", source, target, labels[0], labels[1], run, said))
    if not charts:
        return []
    key = legend([("source", 0, "dot"), ("target", 1, "triangle")])
    known = " Colours of the target are its test labels (oracle), which training never saw."
    words = way + (known if (outputs.get("target_labels", np.zeros(0)) >= 0).any() else "")
    names = names_of(run, len((run.summary or {}).get("classes", [])))
    numbered = ", ".join(f"{index} {name}" for index, name in enumerate(names))
    if max(map(len, names), default=0) > _SHORT and len(names) <= LISTED:
        key = render(key, paragraph(f"Numbers on the maps: {numbered}.", class_="small soft"))
    drawn = [key, tag("div", *charts, class_="charts maps")]
    return [paragraph(words), *drawn] if explained else drawn


_PCA = (
    "Features along the two directions in which they vary most (PCA of both domains together). Domains that lie on each"
    " other are aligned; classes that lie apart can be told apart."
)
_TSNE = (
    "Features mapped to the plane by t-SNE, both domains together: neighbours stay neighbours, sizes and gaps mean"
    " nothing. Domains that mix are aligned; classes that lie apart can be told apart."
)


def _by_class(
    title: str,
    source: np.ndarray,
    target: np.ndarray,
    source_labels: np.ndarray,
    target_labels: np.ndarray,
    run: RunFiles,
    said: str,
) -> Markup:
    size = max(int(source_labels.max(initial=0)), int(target_labels.max(initial=0))) + 1
    names = names_of(run, max(size, len((run.summary or {}).get("classes", []))))
    clouds, signs = [], []
    numbers = max(map(len, names), default=0) > _SHORT
    for index in range(size):
        look = f"hsl({137.5 * index % 360:.0f} 62% var(--hue-light))"
        mine, theirs = source[source_labels == index], target[target_labels == index]
        if len(mine):
            clouds.append(Cloud(mine, look, False))
            a, b = np.median(mine, axis=0)
            if size <= LISTED:
                signs.append((float(a), float(b), str(index) if numbers else names[index]))
        if len(theirs):
            clouds.append(Cloud(theirs, look, True))
    unknown = target[target_labels < 0]
    if len(unknown):
        clouds.append(Cloud(unknown, "var(--soft)", True))
    return scatter_chart(title, clouds, signs, said=f"{said}, coloured by class")
