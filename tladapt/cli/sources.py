"""Which models `tladapt rank` and `tladapt probe` look at, and what these make of some domains."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

Loaders = Mapping[str, Callable[[], Any]]


def model_options(command: Any) -> Any:
    """Add the options that name models to a command."""
    backbone = click.option(
        "--backbone",
        "backbones",
        multiple=True,
        metavar="NAME=WEIGHTS",
        help="A backbone with a file or name of weights; may be given several times.",
    )
    run = click.option(
        "--run", "runs", multiple=True, metavar="DIR", help="The model of a finished run; may be given several times."
    )
    inputs = click.option("--inputs", is_flag=True, help="Also the inputs themselves, as they are: what models add to.")
    return backbone(run(inputs(command)))


def source_models(backbones: Sequence[str], runs: Sequence[str], inputs: bool) -> Loaders:
    """Return functions that load the models that the options name, by a short name that no other has.

    Raises:
      UsageError: for no model, text that is not NAME=WEIGHTS, or a model that is named twice.
    """
    from tladapt.errors import UsageError

    if not (backbones or runs or inputs):
        raise UsageError(
            "name a model: --backbone NAME=WEIGHTS, --run DIR with the folder of a finished run, or --inputs."
        )
    given = [*backbones, *runs]
    if twice := [text for text in given if given.count(text) > 1]:
        raise UsageError(f"{twice[0]} is named twice.")
    pairs = [tuple(text.partition("=")[::2]) for text in backbones]
    for text, (name, weights) in zip(backbones, pairs, strict=True):
        if not (name and weights):
            example = "mobilenetv2_100=mobilenetv2_100.safetensors"
            raise UsageError(f"--backbone must be NAME=WEIGHTS, such as {example}; got {text!r}.")
    found: dict[str, Callable[[], Any]] = {}
    for text, (name, weights) in zip(backbones, pairs, strict=True):
        label = name if [other for other, _ in pairs].count(name) == 1 else f"{name}={Path(weights).name}"
        found[text if label in found else label] = functools.partial(_pretrained, name, weights)
    for folder in runs:
        label = Path(folder).name
        found[folder if label in found else label] = functools.partial(_run, folder)
    if inputs:
        found["inputs"] = Inputs
    return found


class Inputs:
    """The inputs themselves as features, flattened; 8-bit images as [0, 1]."""

    logits = None
    most = 20_000
    """Longer inputs are refused: a classifier on them would fill the memory."""

    def features(self, x: Any) -> np.ndarray:
        """Return the inputs as vectors `[n, d]`."""
        from tladapt.errors import UsageError

        x = np.asarray(x)
        flat = x.reshape(len(x), -1)
        if flat.shape[1] > self.most:
            raise UsageError(
                f"--inputs takes inputs of at most {self.most:,} numbers, and these have {flat.shape[1]:,}: shrink"
                " images as they are loaded (--data.size 32)."
            )
        return flat / np.float32(255) if x.dtype == np.uint8 else flat


def _pretrained(name: str, weights: str) -> Any:
    from tladapt.models import pretrained

    return pretrained(name, weights)


def _run(folder: str) -> Any:
    import tladapt

    return tladapt.open_run(folder)


def trained_on(runs: Sequence[str], scenario: str) -> list[str]:
    """Return the folders of runs on a scenario of that name."""
    from tladapt.training.folder import RunFolder

    return [run for run in runs if RunFolder(run).read_json("config.json")["scenario"]["name"] == scenario]


def some(domains: Sequence[Any], limit: int) -> list[Any]:
    """Return at most `limit` examples of domains together, each thinned evenly."""
    total = sum(map(len, domains))
    if total <= limit:
        return list(domains)
    counts = [max(1, limit * len(domain) // total) for domain in domains]
    return [
        domain.take(np.linspace(0, len(domain) - 1, count).astype(np.int64))
        for domain, count in zip(domains, counts, strict=True)
    ]


def extract_each(loaders: Loaders, domains: Mapping[str, Sequence[Any]], *, quiet: bool) -> dict[str, dict[str, Any]]:
    """Return what each model makes of some domains, by the model's name and the domains' role, with progress.

    Args:
      loaders: from `source_models`.
      domains: by role; those of one role are laid end to end.
      quiet: show no progress.
    """
    from tladapt.cli.counter import Counter
    from tladapt.evaluation import Extracted, extract

    total = len(loaders) * sum(len(domain) for role in domains.values() for domain in role)
    found: dict[str, dict[str, Any]] = {}
    done = 0
    with Counter("computing features", quiet=quiet) as counter:
        for name, load in loaders.items():
            model = load()
            found[name] = {}
            for role, several in domains.items():
                parts = []
                for domain in several:

                    def tell(count: int, before: int = done, name: str = name) -> None:
                        counter(before + count, total, name)

                    parts.append(extract(model, domain, watcher=tell))
                    done += len(domain)
                logits = [part.logits for part in parts if part.logits is not None]
                found[name][role] = Extracted(
                    np.concatenate([part.features for part in parts]), np.concatenate(logits) if logits else None
                )
    return found
