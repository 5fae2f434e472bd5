"""What a run leaves: metrics, history, and a model that predicts."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tladapt.data import Domain
from tladapt.errors import RunFolderError, UsageError
from tladapt.evaluation import choose, oracle
from tladapt.evaluation.metrics import softmax
from tladapt.models.tokenizers import TOKENIZER_FILES, TextPreprocessing
from tladapt.models.weights import load_arrays, save_arrays
from tladapt.penalties.base import SOURCE_CLASSIFIER
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.config import Config, config_from_json
from tladapt.training.evaluate import Predictor, Weights
from tladapt.training.features import inner_config, joined
from tladapt.training.folder import RunFolder
from tladapt.training.inputs import Inputs
from tladapt.training.network import Network
from tladapt.training.state import State, flat, no_fault, unflat

PyTree = Any

if TYPE_CHECKING:
    from tladapt.training.assemble import Assembly


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """The end of a run, from `tladapt.run` or `tladapt.open_run`.

    Attributes:
      config: what was run, with objects in the place of names.
      classes: class names.
      metrics: a flat dictionary, as in `summary.json`: "target/accuracy" (last step, seen by the evaluator),
        "chosen/target/accuracy" (the validator's step), "oracle/..." (chosen with test labels), "source/accuracy",
        "before/source/accuracy" and "before/target/accuracy" (of the model that `init` gave), ...
      history: the lines of `metrics.jsonl`.
      weights: parameters, statistics and memory that predictions are made from.
      predictor: the compiled model.
      folder: where the run is; None where nothing was written.
      texts: how texts become what the model reads; None for other inputs.
    """

    config: Config
    classes: tuple[str, ...]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    weights: Weights
    predictor: Predictor
    folder: Path | None = None
    texts: TextPreprocessing | None = None

    def _outputs(self, x: Any) -> Any:
        shape, reads_indices = self.predictor.network.shape, self.predictor.network.dtype == "int32"
        if reads_indices and not isinstance(x, Domain) and np.asarray(x).dtype.kind in "iu":
            x = np.asarray(x, np.int32)
        domain = self.readable(x if isinstance(x, Domain) else Domain(x))
        if reads_indices and not domain.holds_indices:
            raise UsageError("the model reads token ids, integers: tladapt.data.tokenized(...) makes them from texts.")
        if domain.shape != shape:
            raise UsageError(
                f"the model reads inputs of shape [n, {', '.join(map(str, shape))}], got"
                f" [{', '.join(map(str, (len(domain), *domain.shape)))}]."
            )
        return self.predictor.outputs(self.weights, domain, "target")

    def readable(self, domain: Domain) -> Domain:
        """Return a domain with token ids in the place of texts."""
        if self.texts is None or not domain.is_text:
            return domain
        ids = self.texts.tokenizer.encode(list(domain.x), self.texts.length)
        return dataclasses.replace(domain, x=ids)

    def logits(self, x: Any) -> np.ndarray:
        """Return logits `[n, C]` for inputs of the target, in the form that its `Domain` had (uint8 images, floats)."""
        return np.asarray(self._outputs(x).logits)

    def predict(self, x: Any) -> np.ndarray:
        """Return class indices `[n]`."""
        return np.argmax(self.logits(x), axis=1)

    def predict_proba(self, x: Any) -> np.ndarray:
        """Return class probabilities `[n, C]`."""
        return softmax(self.logits(x))

    def features(self, x: Any) -> np.ndarray:
        """Return features `[n, d]`."""
        return np.asarray(self._outputs(x).features)

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.metrics.items() if k.endswith("accuracy")}
        return f"Result({self.metrics.get('method')} on {self.metrics.get('scenario')}, {shown})"


def save_model(folder: RunFolder, result: Result, record: dict[str, Any], assembly: Assembly) -> None:
    """Write `model/`: every array that predictions need as safetensors, and what makes a model of them."""
    network = assembly.parts.network
    about = {
        **record,
        "counts": [network.sizes.sources, network.sizes.source_examples, network.sizes.target_examples],
    }
    (folder.path / "model").mkdir(parents=True, exist_ok=True)
    save_arrays(
        folder.path / "model" / "model.safetensors",
        {k: np.asarray(v) for k, v in flat(result.weights._asdict()).items()},
    )
    if result.texts is not None and result.texts.folder is not None:
        for name in TOKENIZER_FILES:
            if (result.texts.folder / name).is_file():
                shutil.copyfile(result.texts.folder / name, folder.path / "model" / name)
    folder.write_json("model/config.json", about)


def open_run(folder: str | os.PathLike[str], *, which: str | int = "last", **objects: Any) -> Result:
    """Return a finished run from its folder.

    Args:
      folder: made by `tladapt.run(..., out=folder)` or `tladapt train --out`.
      which: whose parameters: "last", "chosen" (by the validator), "oracle" (by test labels), or a step that has a
        checkpoint.
      **objects: parts that are your own and have no registered name: `backbone=`, `method=`, `validator=`, `penalty=`.

    Raises:
      RunFolderError: for a folder that is not a finished run, or without a checkpoint of that step.
      UsageError: for a part of one's own that was not given, or another step of a run that predicts with statistics of
        the target: those of the last step alone are in the folder.
    """
    place = RunFolder(folder)
    record = place.read_json("config.json")
    if not (place.path / "summary.json").is_file():
        raise RunFolderError(
            f"the run in {place.path} has not finished. Go on with it: the same 'tladapt train' command and --resume."
        )
    summary, about = place.read_json("summary.json"), place.read_json("model/config.json")
    config = config_from_json(record, **objects).resolved()
    classes = tuple(record["scenario"]["classes"])
    from tladapt.training.assemble import build

    network, predictor = build(
        config, tuple(record["scenario"]["shape"]), len(classes), tuple(about["counts"]), record["seed"]
    )
    history = place.rows()
    weights = _weights(place, network, config, history, which, int(record["seed"]))
    texts = None
    if record["scenario"].get("texts"):
        texts = TextPreprocessing(length=record["scenario"]["shape"][0], folder=place.path / "model")
    return Result(config, classes, summary, history, weights, predictor, place.path, texts)


def _weights(
    place: RunFolder, network: Network, config: Config, history: list[dict[str, Any]], which: str | int, seed: int
) -> Weights:
    file = place.path / "model" / "model.safetensors"
    if config.transfer == "features":
        like, backbone = _features_like(network, config, seed, file)
    else:
        like, backbone = weights_like(network, config, seed), None
    if which == "last":
        whole = like if backbone is None else joined(like, *backbone)
        return Weights(**unflat(load_arrays(file), whole._asdict()))
    if network.policy.evaluation == "target":
        raise UsageError(
            f"the run in {place.path} predicts with BatchNorm statistics measured on the target,"
            f" and its checkpoints do not hold them; only which='last' can be opened, got {which!r}."
        )
    if which == "chosen":
        step = choose(history, config.validator.name).step  # type: ignore[union-attr]
    elif which == "oracle":
        best = oracle(history)
        if best is None:
            raise UsageError(f"the run in {place.path} saw no test labels, so there is no oracle step.")
        step = best.step
    elif isinstance(which, int):
        step = which
    else:
        raise UsageError(f"which must be 'last', 'chosen', 'oracle' or a step, got {which!r}.")
    checkpoints = Checkpoints(place.checkpoints)
    if step not in checkpoints.steps():
        raise RunFolderError(f"the run in {place.path} kept no checkpoint of step {step}, only {checkpoints.steps()}.")
    found = read_weights(checkpoints, step, like)
    return found if backbone is None else joined(found, *backbone)


def _features_like(network: Network, config: Config, seed: int, file: Path) -> tuple[Weights, tuple[PyTree, PyTree]]:
    """Return weights of the shapes that checkpoints of a run over features hold, and the backbone's arrays."""
    width = network.backbone_features
    shape = (1 + config.views, width) if config.views else (width,)
    sizes = network.sizes
    counts = (sizes.sources, sizes.source_examples, sizes.target_examples)
    inner = inner_config(config)
    like = weights_like(Network(inner, shape, sizes.classes, counts, seed), inner, seed)
    found = load_arrays(file)
    params, statistics, _ = network.initial()
    some = next(iter(statistics.values())).get("backbone", {})
    kept = "params/backbone/", f"statistics/{next(iter(like.statistics))}/backbone/"
    backbone = {"params": params["backbone"], "statistics": some}
    own = {
        name.replace(prefix, f"{part}/"): array
        for prefix, part in zip(kept, backbone, strict=True)
        for name, array in found.items()
        if name.startswith(prefix)
    }
    read = unflat(own, backbone)
    return like, (read["params"], read["statistics"])


def weights_like(network: Network, config: Config, seed: int) -> Weights:
    """Return weights of the shapes that a run's checkpoints hold."""
    import jax

    from tladapt.methods.base import Start

    params, statistics, head_statistics = network.initial()
    start = Start(params=params, statistics=statistics, sizes=network.sizes, key=jax.random.key(seed))
    inputs = Inputs.blank(config.recipe.standardize, network.shape[-1])  # type: ignore[union-attr]
    return Weights(inputs, params, statistics, head_statistics, config.method.memory(start))  # type: ignore[union-attr]


def read_weights(checkpoints: Checkpoints, step: int, like: Weights) -> Weights:
    """Return the weights of a checkpoint.

    Raises:
      RunFolderError: for a checkpoint that is damaged, or of another model.
    """
    arrays = checkpoints.read(step)
    own = {
        name: value
        for name, value in arrays.items()
        if name.split("/")[0] in Weights._fields and not name.startswith(f"params/{SOURCE_CLASSIFIER}/")
    }
    return Weights(**unflat(own, like._asdict()))


__all__ = ["Result", "State", "no_fault", "open_run", "read_weights", "save_model", "weights_like"]
