"""A trained model as one file that needs no run folder; it is kept only if it predicts what the run predicts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np
from jax import export as programs

from tladapt.data import Domain, Scenario, examples
from tladapt.data.sampling import as_input
from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UsageError
from tladapt.methods.base import PyTree
from tladapt.models import Outputs
from tladapt.models.weights import load_arrays, save_arrays
from tladapt.registry import suggest
from tladapt.training.config import config_json
from tladapt.training.evaluate import Weights
from tladapt.training.folder import RunFolder, jsonable, write_whole
from tladapt.training.result import Result, open_run
from tladapt.training.state import flat, unflat

Format = Literal["stablehlo", "safetensors"]
PLATFORMS = ("cpu", "cuda", "tpu")
CHECKED = 100  # examples that the file and the run both predict
TOLERANCE = 1e-3  # of the largest logit; half-precision multiplications of accelerators stay within it


def export(
    run: Result | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    format: Format | None = None,
    which: str | int = "last",
    examples: Any = None,
    data_dir: str | os.PathLike[str] | None = None,
    batch: int | None = None,
) -> Path:
    """Write a trained model to one file, and keep the file only if it predicts what the run predicts.

    "stablehlo": a program with the weights in it, for CPU, CUDA and TPU and for any number of examples. It takes inputs
    as the run's data had them (8-bit images as they are): scaling and standardisation are inside. It returns logits
    `[n, C]`, probabilities `[n, C]` and features `[n, d]` by name. Classes and the form of the input stand in
    `<out>.json`. It runs with jax and flatbuffers:

        model = jax.export.deserialize(open("model.stablehlo", "rb").read())
        probabilities = model.call(x)["probabilities"]

    "safetensors": every array that predictions are made from, by path ("params/backbone/conv1/kernel",
    "statistics/shared/...", "inputs/mean/target" and "inputs/deviation/target" where inputs are standardised), with
    the config, the classes and the form of the input as JSON under "tladapt" in the file's metadata. `init=` and
    `weights=` of a run take it.

    Args:
      run: a result, or the folder of a finished run.
      out: the file. None: `export/model.<format>` in the run's folder.
      format: "stablehlo" or "safetensors"; None: what the ending of `out` says, or stablehlo.
      which: of a folder, whose parameters: "last", "chosen", "oracle" or a step.
      examples: inputs `[n, ...]` of the target, on which file and run are compared. None: those of the run's scenario,
        where its name says how to load it.
      data_dir: where data sets are, for that.
      batch: the one number of examples that the program takes; None: any.

    Returns:
      The path of the file.

    Raises:
      UsageError: for a format that there is none of, inputs that do not fit, or a network that cannot be exported for
        any number of examples.
      DamagedDataError: where the file predicts something else; it is not kept.
      MissingPackageError: for stablehlo without flatbuffers, which jax writes such a program with.
    """
    path, form = _place(run, out, format)
    if form == "stablehlo":
        _need_flatbuffers()
    result = run if isinstance(run, Result) else open_run(run, which=which)
    x = _comparable(result, examples, data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "classes": list(result.classes),
        "input": {"shape": list(x.shape[1:]), "dtype": str(x.dtype)},
        "method": result.metrics["method"],
        "scenario": result.metrics["scenario"],
        "which": str(which),
        "oracle_run": result.metrics["oracle_run"],
    }
    part = path.with_name(path.name + ".part")
    try:
        predict = (_safetensors if form == "safetensors" else _stablehlo)(result, part, about, x, batch)
        _compare(result, predict, x, path)
        if form == "stablehlo":
            about |= {"batch": batch, "platforms": list(PLATFORMS), "outputs": ["logits", "probabilities", "features"]}
            write_whole(path.with_name(path.name + ".json"), (json.dumps(jsonable(about), indent=1) + "\n").encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _place(run: Any, out: Any, format: str | None) -> tuple[Path, str]:
    """Return the file to write and its format."""
    ending = None if out is None else Path(out).suffix.removeprefix(".")
    form = format or (ending if ending in get_args(Format) else None) or (None if ending else "stablehlo")
    if form is None or form not in get_args(Format):
        known = " or ".join(get_args(Format))
        came = f"got {format!r}" if format else f"and {out} ends in neither"
        raise UsageError(f"format must be {known}, {came}.{suggest(form or ending or '', get_args(Format))}")
    if ending in get_args(Format) and ending != form:
        raise UsageError(f"{out} says {ending} and format says {form}; give one of them.")
    if out is not None:
        return Path(out), form
    folder = run.folder if isinstance(run, Result) else Path(run)
    if folder is None:
        raise UsageError("this run has no folder, so out= has to say which file to write.")
    return folder / "export" / f"model.{form}", form


def _need_flatbuffers() -> None:
    import importlib.util

    if importlib.util.find_spec("flatbuffers") is None:
        raise MissingPackageError(
            'jax writes a stablehlo program with flatbuffers, which is not installed: pip install "tladapt[export]".'
            " format='safetensors' needs nothing more."
        )


def _comparable(result: Result, given: Any, data_dir: Any) -> np.ndarray:
    """Return real inputs, in the dtype that the run's target had."""
    if given is None:
        domain = _own_target(result, data_dir)
    else:
        domain = given if isinstance(given, Domain) else Domain(given)
    domain = result.readable(domain)
    index = np.linspace(0, len(domain) - 1, min(CHECKED, len(domain))).astype(np.int64)
    x = as_input(examples(domain, index))
    if x.shape[1:] != result.predictor.network.shape:
        raise UsageError(f"the model takes inputs of shape {result.predictor.network.shape}, got {x.shape[1:]}.")
    if result.folder is not None:
        recorded = RunFolder(result.folder).read_json("config.json")["scenario"]["dtype"]
        if recorded != str(x.dtype):
            raise UsageError(f"the run was trained on inputs of dtype {recorded}; the examples are {x.dtype}.")
    return x


def _own_target(result: Result, data_dir: Any) -> Domain:
    record = {} if result.folder is None else RunFolder(result.folder).read_json("config.json")["scenario"]
    hint = "Give some inputs of the target (examples=, --examples) to compare the file with the run on."
    if not record.get("data"):
        raise UsageError(f"the run's data has no name to load it by. {hint}")
    from tladapt.data import load

    try:
        scenario: Scenario = load(record["data"], data_dir, **record["options"])
    except MissingDataError as error:
        raise MissingDataError(f"{error}\n{hint}") from error
    return scenario.target if scenario.test is None else scenario.test


def _safetensors(
    result: Result, path: Path, about: dict[str, Any], x: np.ndarray, batch: int | None
) -> Callable[[np.ndarray], Outputs]:
    """Write the arrays; return the predictions from the arrays that are read from the file again."""
    del x, batch
    like = result.weights._asdict()
    arrays = {name: np.asarray(leaf) for name, leaf in flat(like).items()}
    record = {**about, "config": config_json(result.config)}
    save_arrays(path, arrays, metadata={"tladapt": json.dumps(jsonable(record))})
    weights = Weights(**unflat(load_arrays(path), like))
    return lambda x: result.predictor.outputs(weights, Domain(x), "target")


def _stablehlo(
    result: Result, path: Path, about: dict[str, Any], x: np.ndarray, batch: int | None
) -> Callable[[np.ndarray], Outputs]:
    """Write the program; return the predictions of the program that is read from the file again."""
    del about
    weights, call = jax.tree.map(np.asarray, result.weights), result.predictor.call

    def predict(x: jax.Array) -> dict[str, jax.Array]:
        out = call(weights, x, "target")
        return {
            "logits": out.logits,
            "probabilities": jax.nn.softmax(out.logits, axis=-1),
            "features": out.features,
        }

    rows: Any = programs.symbolic_shape("batch")[0] if batch is None else batch
    program = jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype)
    try:
        exported = programs.export(jax.jit(predict), platforms=PLATFORMS)(program)
    except Exception as error:  # it is the network's code that runs here, which may be anybody's
        if batch is not None:
            raise
        raise UsageError(
            f"the network cannot be exported for any number of examples ({type(error).__name__}:"
            f" {str(error).splitlines()[0]}). x.shape[0] can stand for that number where len(x) cannot; or export for"
            " one number: batch=32, --batch 32."
        ) from error
    write_whole(path, bytes(exported.serialize()))
    again = programs.deserialize(bytearray(path.read_bytes()))

    def outputs(x: np.ndarray) -> Outputs:
        size = len(x) if batch is None else batch
        parts = []
        for first in range(0, len(x), size):
            index = np.minimum(np.arange(first, first + size), len(x) - 1)
            parts.append(jax.tree.map(np.asarray, again.call(x[index])))
        whole: PyTree = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *parts)
        return Outputs(whole["features"], whole["logits"])

    return outputs


def _compare(result: Result, predict: Callable[[np.ndarray], Outputs], x: np.ndarray, path: Path) -> None:
    """Raise unless the file's predictions are the run's, for all examples together and for one alone."""
    for some in (x, x[:1]):
        wanted = result.predictor.outputs(result.weights, Domain(some), "target")
        found = predict(some)
        for name in ("logits", "features"):
            one, other = (np.asarray(getattr(outputs, name), np.float64) for outputs in (wanted, found))
            apart, allowed = float(np.max(np.abs(one - other))), TOLERANCE * (1.0 + float(np.max(np.abs(one))))
            if not apart <= allowed:
                raise DamagedDataError(
                    f"the exported model does not predict what the run predicts: {name} of {len(some)} examples of the"
                    f" target differ by up to {apart:.3g} (at most {allowed:.3g} is rounding). {path} was not written."
                )
