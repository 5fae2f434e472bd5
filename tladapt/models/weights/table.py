"""Names of tensors in files of weights, mapped to the arrays of our networks: every one of both is accounted for."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError

TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda x: x,
    "conv": lambda x: x.transpose(2, 3, 1, 0),  # OIHW -> HWIO; a depthwise C1HW becomes HW1C
    "conv1d": lambda x: x.transpose(2, 1, 0),  # OIW -> WIO
    "linear": lambda x: x.T,  # [out, in] -> [in, out]
    "conv_as_linear": lambda x: x.reshape(x.shape[0], -1).T,  # a 1 x 1 convolution as a matrix
    "depthwise_keras": lambda x: x.transpose(0, 1, 3, 2),  # HWC1 -> HW1C
    "flat": lambda x: x.reshape(-1),
    # the thirds of one projection to queries, keys and values: kernels [3 out, in] -> [in, out], biases as they are
    "query": lambda x: np.split(x, 3)[0].T,
    "key": lambda x: np.split(x, 3)[1].T,
    "value": lambda x: np.split(x, 3)[2].T,
}
"""What is done to a tensor before it is taken, by name."""


class Rule(NamedTuple):
    r"""One line of a table.

    Attributes:
      pattern: a regular expression that a tensor's whole name matches.
      path: where it goes, such as "blocks/\1/conv/kernel"; groups of the pattern are filled in.
      transform: a name in `TRANSFORMS`, or a function of the array.
    """

    pattern: str
    path: str
    transform: str | Callable[[np.ndarray], np.ndarray] = ""


Rules = Sequence[Rule]


def _rules(pattern: str, path: str, leaves: Mapping[str, tuple[str, str]]) -> list[Rule]:
    """Return rules for the leaves of one layer: their name -> (our name, transform)."""
    at = f"{path}/" if path else ""
    return [Rule(rf"{pattern}\.{theirs}", f"{at}{ours}", how) for theirs, (ours, how) in leaves.items()]


def conv(pattern: str, path: str = "") -> list[Rule]:
    """Return the rules of a convolution in PyTorch's form, with or without a bias."""
    return _rules(pattern, path, {"weight": ("kernel", "conv"), "bias": ("bias", "")})


def linear(pattern: str, path: str = "") -> list[Rule]:
    """Return the rules of a linear layer in PyTorch's form, with or without a bias."""
    return _rules(pattern, path, {"weight": ("kernel", "linear"), "bias": ("bias", "")})


def norm(pattern: str, path: str) -> list[Rule]:
    """Return the rules of a batch normalisation in PyTorch's form."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    return _rules(pattern, path, {theirs: (ours, "") for theirs, ours in names.items()})


def layer_norm(pattern: str, path: str) -> list[Rule]:
    """Return the rules of a layer normalisation in PyTorch's form."""
    return _rules(pattern, path, {"weight": ("scale", ""), "bias": ("bias", "")})


def embedding(pattern: str, path: str) -> list[Rule]:
    """Return the rule of an embedding in PyTorch's form."""
    return _rules(pattern, path, {"weight": ("embedding", "")})


@dataclasses.dataclass(frozen=True)
class Table:
    """How one library calls the tensors of an architecture.

    Attributes:
      name: the library: "torchvision", "timm", "keras", "transformers" ...
      backbone: rules whose paths are within the network.
      classifier: rules whose paths are within the classifier.
      drop: patterns of tensors that are left out on purpose (counters, auxiliary heads).
    """

    name: str
    backbone: tuple[Rule, ...]
    classifier: tuple[Rule, ...] = ()
    drop: tuple[str, ...] = (r"(.*\.)?num_batches_tracked",)

    @functools.cached_property
    def _patterns(self) -> list[tuple[str, Rule, re.Pattern[str]]]:
        return [
            (block, rule, re.compile(rule.pattern))
            for block, rules in (("backbone", self.backbone), ("classifier", self.classifier))
            for rule in rules
        ]

    def place(self, name: str) -> tuple[str, Rule] | None:
        """Return the path (with its block) and the rule of a tensor; None for one that no rule knows."""
        for block, rule, pattern in self._patterns:
            if match := pattern.fullmatch(name):
                return f"{block}/{match.expand(rule.path)}", rule
        return None

    def places(self, name: str) -> list[tuple[str, Rule]]:
        """Return all places of a tensor: a fused one has several rules of one pattern, each of which takes its part."""
        found = self.place(name)
        if found is None:
            return []
        others = [
            (f"{block}/{match.expand(rule.path)}", rule)
            for block, rule, pattern in self._patterns
            if rule.pattern == found[1].pattern and rule is not found[1] and (match := pattern.fullmatch(name))
        ]
        return [found, *others]

    def drops(self, name: str) -> bool:
        """Return whether a tensor is left out on purpose."""
        return any(re.fullmatch(pattern, name) for pattern in self.drop)


class _Own(Table):
    """Names that are paths already."""

    def place(self, name: str) -> tuple[str, Rule] | None:
        return (name, Rule(re.escape(name), name)) if name.split("/")[0] in ("backbone", "classifier") else None


OWN = "tladapt"


class Filled(NamedTuple):
    """What a file gives a model.

    Attributes:
      arrays: by path, with the shape and dtype that the model asks for.
      table: the name of the table that was used.
      dropped: names of tensors that were left out on purpose.
      notes: words for people: a classifier that was replaced.
    """

    arrays: dict[str, np.ndarray]
    table: str
    dropped: list[str]
    notes: list[str]


def fill(
    tensors: Mapping[str, np.ndarray],
    wanted: Mapping[str, Any],
    tables: Sequence[Table],
    *,
    called: str,
    blocks: Sequence[str] = ("backbone", "classifier"),
) -> Filled:
    """Return an array for every leaf of a model, and leave no tensor of a file unaccounted for.

    A classifier that the file lacks, or that has another number of classes, is left out and named in the notes; so is
    one that `blocks` does not ask for.

    Args:
      tensors: of the file, by name.
      wanted: arrays or shapes of the model by path, such as "backbone/conv1/kernel".
      tables: of the architecture; that which knows most of the names is used. Names that are paths already need none.
      called: what messages call the file.
      blocks: which parts of the model to fill.

    Raises:
      UsageError: listing every leaf that is not filled, every tensor that has no place, and every shape that differs.
    """
    own = {name for name in tensors if name.split("/")[0] in ("backbone", "classifier")}
    known = {table.name: sum(table.place(name) is not None for name in tensors) for table in tables}
    table = max(tables, key=lambda table: known[table.name])
    if len(own) > known[table.name]:
        table = _Own(OWN, ())
    arrays: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    problems: dict[str, str] = {}
    dropped: list[str] = []
    for name, tensor in tensors.items():
        found = table.places(name)
        if not found:
            if table.drops(name):
                dropped.append(name)
            else:
                problems[name] = f"{name} {_shown(tensor)}: the model has no place for it"
        for path, rule in found:
            if path.split("/")[0] not in blocks:
                dropped.append(name)
                continue
            problem = ""
            transform = TRANSFORMS[rule.transform] if isinstance(rule.transform, str) else rule.transform
            try:
                value = transform(tensor)
            except ValueError:
                problem, value = f"{name} {_shown(tensor)}: it has another number of axes than {path}", tensor
            if not problem and path not in wanted:
                problem = f"{name} {_shown(tensor)}: the model has no {path}"
            elif not problem and tuple(value.shape) != tuple(wanted[path].shape):
                problem = f"{name} {_shown(tensor)}: {path} needs {list(wanted[path].shape)}, came {list(value.shape)}"
            elif not problem and value.dtype.kind not in "fV":
                problem = f"{name} {_shown(tensor)}: {path} needs floating numbers"
            elif not problem and path in arrays:
                problem = f"{name}: {path} has been filled by {origin[path]}"
            if problem:
                problems[path] = problem
            else:
                arrays[path], origin[path] = np.asarray(value, wanted[path].dtype), name
    for path in wanted:
        if path.split("/")[0] in blocks and path not in arrays and path not in problems:
            problems[path] = f"{path} {list(wanted[path].shape)}: nothing in the file is for it"
    notes = []
    if heads := [key for key in problems if key.split("/")[0] == "classifier"]:
        words = "; ".join(problems.pop(key) for key in heads)
        dropped += [origin[path] for path in arrays if path.startswith("classifier/")]
        arrays = {path: value for path, value in arrays.items() if not path.startswith("classifier/")}
        notes.append(f"the classifier in {called} does not fit, so a new one was drawn ({words})")
    if problems:
        listed = "\n  ".join(problems.values())
        raise UsageError(
            f"{called} does not fit this model (names read as those of {table.name}): {len(problems)} of"
            f" {len(set(tensors) | set(wanted))} arrays.\n  {listed}\nName the backbone that the weights are of:"
            " 'tladapt weights show FILE' lists what is in the file, 'tladapt list backbones' what there is."
        )
    return Filled(arrays, table.name, dropped, notes)


def _shown(tensor: np.ndarray) -> str:
    return f"{tensor.dtype}{list(tensor.shape)}"
