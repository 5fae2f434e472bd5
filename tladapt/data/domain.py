"""Domains, scenarios and the two batch types: where labels are, and where they cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from tladapt.data.texts import Texts
from tladapt.errors import UsageError


@runtime_checkable
class RandomAccess(Protocol):
    """Examples that are read one by one because they do not fit in memory: `len(x)` and `x[i] -> array`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Labelled(NamedTuple):
    """A batch with labels, which only a source domain (or a labelled target that says so) gives.

    Attributes:
      x: inputs `[n, ...]`.
      y: class indices `[n]`, int32.
      domain: which of the scenario's source domains each example is from `[n]`, int32.
      index: position of each example in its (concatenated) domain `[n]`, int32.
    """

    x: Any
    y: Any
    domain: Any
    index: Any


class Unlabelled(NamedTuple):
    """A batch of the target: it has no field for a label. Fields as in `Labelled`."""

    x: Any
    domain: Any
    index: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """Examples that share a distribution.

    Args:
      x: inputs `[n, ...]`: an array, or a random-access source (`len`, `[i]`). uint8 is read as an image in [0, 1];
        int32 is read as indices, such as token ids, and stays as it is; all else is read as float32. Texts are a
        list or an array of str, or `Texts`, and have to become token ids (`tokenized`) before a model reads them.
      y: class indices `[n]`, integers from 0, or None for an unlabelled domain.
      name: how messages and pages call it.
      groups: which independent unit each example belongs to `[n]` (the digit behind several pictures, the
        patient behind several scans); intervals are taken over units. None: each example is its own.

    Raises:
      UsageError: for an empty domain, labels of another length, or labels that are not class indices.
    """

    x: Any
    y: Any = None
    name: str = ""
    groups: Any = None

    def __post_init__(self) -> None:
        called = f"domain {self.name!r}" if self.name else "a domain"
        x = self.x
        if not (hasattr(x, "__len__") and hasattr(x, "__getitem__")):
            raise UsageError(
                f"{called}: x must be an array or have len() and [i], got {type(x).__name__}."
                " Wrap an iterator's examples with numpy.stack(list(...))."
            )
        x = _texts(x, called)
        if isinstance(x, (list, tuple)) or not (hasattr(x, "shape") or isinstance(x, RandomAccess)):
            try:
                x = np.asarray(x)
            except ValueError:
                raise UsageError(
                    f"{called}: the examples do not make one array, since their shapes differ."
                    " Resize or pad them to one shape."
                ) from None
        if hasattr(x, "shape"):
            x = np.asarray(x)
            if x.ndim < 2:
                raise UsageError(f"{called}: x must be [examples, ...] with at least 2 axes, got shape {x.shape}.")
            if x.dtype == np.float64:
                x = x.astype(np.float32)
            if x.dtype == np.object_ or x.dtype.kind not in "fiub":
                raise UsageError(f"{called}: x must be numeric, got dtype {x.dtype}.")
        if len(x) == 0:
            raise UsageError(f"{called}: there are no examples in it (len(x) = 0).")
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", self._indices(self.y, called, "y"))
        object.__setattr__(self, "groups", self._indices(self.groups, called, "groups"))

    def _indices(self, values: Any, called: str, field: str) -> np.ndarray | None:
        if values is None:
            return None
        values = np.asarray(values)
        if values.ndim == 2 and 1 in values.shape:
            values = values.reshape(-1)
        if field == "y" and values.ndim == 2 and len(values) == len(self.x):
            raise UsageError(f"{called}: y must be class indices, got shape {values.shape}. One-hot rows? y.argmax(1).")
        if values.ndim != 1 or len(values) != len(self.x):
            raise UsageError(
                f"{called}: {field} must have one entry for each of the {len(self.x)} examples, got shape"
                f" {values.shape}."
            )
        if values.dtype.kind == "b" or (values.dtype.kind == "f" and np.all(values == np.round(values))):
            values = values.astype(np.int64)
        if values.dtype.kind not in "iu" or values.min() < 0:
            raise UsageError(
                f"{called}: {field} must be integers from 0 on, got dtype {values.dtype} and values such as"
                f" {values[:3].tolist()}. numpy.unique(names, return_inverse=True)[1] turns names into indices."
            )
        return values.astype(np.int32)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example; () for a text."""
        return tuple(np.shape(self.x[0]))

    @property
    def holds_indices(self) -> bool:
        """Whether the examples are int32, and so indices such as token ids: no number to scale or to average."""
        return bool(np.asarray(self.x[0]).dtype == np.int32)

    @property
    def is_text(self) -> bool:
        """Whether the examples are texts."""
        return isinstance(self.x[0], str)

    def unlabelled(self) -> Domain:
        """Return this domain without its labels."""
        return dataclasses.replace(self, y=None)

    def take(self, index: np.ndarray) -> Domain:
        """Return the examples at `index` (integers) as a domain; a random-access source is read, not copied."""
        if isinstance(self.x, Texts):
            x: Any = self.x.take(index)
        else:
            x = self.x[index] if isinstance(self.x, np.ndarray) else Selection(self.x, index)
        return Domain(
            x,
            None if self.y is None else self.y[index],
            name=self.name,
            groups=None if self.groups is None else self.groups[index],
        )


def _texts(x: Any, called: str) -> Any:
    """Return a list, tuple or array of str as `Texts`, and anything else as it is."""
    if isinstance(x, (list, tuple)):
        some = x
    elif getattr(x, "dtype", None) is not None and np.ndim(x) == 1 and np.asarray(x).dtype.kind in "OUT":
        some = np.asarray(x).tolist()
    else:
        return x
    if not any(isinstance(item, str) for item in some):
        return x
    try:
        return Texts(some)
    except UsageError as problem:
        raise UsageError(f"{called}: {problem}") from None


@dataclasses.dataclass(frozen=True)
class Selection:
    """The examples of a random-access source at some positions, in that order."""

    source: Any
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, position: int, /) -> Any:
        return self.source[int(self.index[position])]


class Scenario:
    """One adaptation problem: labelled source domain(s), an unlabelled target, a test set for the evaluator alone.

    Labels of the target that come with `target` are put away: `scenario.target` has none, and nothing that training
    receives leads to them. They serve two uses that say their name: `scenario.oracle()`, and, where no `test` is
    given, the evaluation on the target itself (the transductive protocol).

    Args:
      source: a labelled `Domain`, or a sequence of them (several sources).
      target: a `Domain` to adapt to; its labels, if any, are put away.
      test: a labelled `Domain` of the target for the evaluator. None: the target itself where it has labels,
        and no target accuracy where it has none.
      validation: labelled source examples that are not trained on. None: a run splits a tenth off the source.
      classes: class names in the order of the indices. None: "0", "1", ...
      name: how messages and pages call the problem.
      task: "classification", the only one.
      origin: where the examples are from, for the record of a run; JSON-able. `tladapt.load` puts "name", "options",
        "files" (path -> sha256) and "notes" (sentences for people) into it.

    Raises:
      UsageError: for a source without labels, shapes that differ, or labels beyond `classes`.
    """

    def __init__(
        self,
        source: Domain | Sequence[Domain],
        target: Domain,
        test: Domain | None = None,
        *,
        validation: Domain | None = None,
        classes: Sequence[str] | None = None,
        name: str = "",
        task: str = "classification",
        origin: Mapping[str, Any] | None = None,
    ):
        sources = (source,) if isinstance(source, Domain) else tuple(source)
        if task != "classification":
            raise UsageError(f"task must be 'classification', got {task!r}.")
        if not sources or not all(isinstance(domain, Domain) for domain in sources):
            raise UsageError("source must be a tladapt.Domain or a non-empty sequence of them.")
        if not isinstance(target, Domain):
            raise UsageError(f"target must be a tladapt.Domain, got {type(target).__name__}.")
        if test is None and target.y is not None:
            test = target
        for role, domain in [("source", d) for d in sources] + [("validation", validation), ("test", test)]:
            if domain is not None and domain.y is None:
                raise UsageError(f"the {role} domain {domain.name!r} needs labels: Domain(x, y).")
        for role, domain in [("source", d) for d in sources] + [("validation", validation), ("test", test)]:
            if domain is not None and domain.shape != target.shape:
                raise UsageError(
                    f"examples of all domains must have one shape: {role} {domain.name!r} has {domain.shape},"
                    f" target {target.name!r} has {target.shape}. Resize or pad them first."
                )
            if domain is not None and domain.holds_indices != target.holds_indices:
                holds = {True: "int32, which is read as indices", False: "other numbers"}
                raise UsageError(
                    f"{role} {domain.name!r} holds {holds[domain.holds_indices]}, and target {target.name!r}"
                    f" {holds[target.holds_indices]}. Give both as int32 indices, or both as float32."
                )
        top = max(int(d.y.max()) for d in (*sources, validation, test) if d is not None and d.y is not None)
        if classes is None:
            classes = [str(index) for index in range(top + 1)]
        if top >= len(classes):
            raise UsageError(f"labels go up to {top}, but there are only {len(classes)} class names.")
        self.source: tuple[Domain, ...] = sources
        self.target: Domain = target.unlabelled()
        self.test: Domain | None = test
        self.validation: Domain | None = validation
        self.classes: tuple[str, ...] = tuple(str(c) for c in classes)
        self.name: str = name or f"{'+'.join(d.name or 'source' for d in sources)}-{target.name or 'target'}"
        self.task: str = task
        self.origin: dict[str, Any] = dict(origin or {})
        self.is_oracle: bool = False
        self._oracle_labels: np.ndarray | None = target.y

    @classmethod
    def labelled_task(
        cls,
        train: Domain,
        test: Domain,
        *,
        validation: Domain | None = None,
        classes: Sequence[str] | None = None,
        name: str = "",
        origin: Mapping[str, Any] | None = None,
    ) -> Scenario:
        """Return a new task with labels, as inductive transfer has it: a model is fine-tuned on `train`.

        There is no domain to adapt to. `source_only`, with freezing, penalties and the rest of a recipe, trains on the
        labels of `train`; the unlabelled inputs of `test` stand where a target would, so that validators score without
        its labels and the evaluator scores with them. Any other method would adapt to these inputs.

        Args:
          train: labelled examples of the task.
          test: labelled examples for the evaluator alone.
          validation: labelled examples that are not trained on. None: a run splits a tenth off `train`.
          classes: as for `Scenario`.
          name: as for `Scenario`.
          origin: as for `Scenario`.

        Raises:
          UsageError: as `Scenario`, and for a test set without labels.

        Example:
          >>> x, y = np.zeros((6, 2), np.float32), np.arange(6) % 2
          >>> Scenario.labelled_task(Domain(x, y, name="train"), Domain(x + 1, y, name="test"))
          Scenario('train-test': train[6] -> test[6], 2 classes)
        """
        return cls(train, test.unlabelled(), test, validation=validation, classes=classes, name=name, origin=origin)

    def oracle(self) -> Scenario:
        """Return the problem whose *source* is the labelled target: target-only training, an upper bound.

        Whatever such a run writes carries the word "oracle".

        Raises:
          UsageError: if the target came without labels.
        """
        if self._oracle_labels is None:
            raise UsageError(
                f"scenario {self.name!r} has no labels of the target, so there is no oracle (target-only) run of it."
            )
        labelled = dataclasses.replace(self.target, y=self._oracle_labels)
        twin = Scenario(
            labelled, self.target, self.test, classes=self.classes, name=self.name, task=self.task, origin=self.origin
        )
        twin.is_oracle = True
        return twin

    def with_domains(self, change: Callable[[str, Domain], Domain]) -> Scenario:
        """Return the same problem with other domains: examples taken away, moved, or labelled otherwise.

        Args:
          change: gets the role of a domain ("source/0", "source/1", ..., "validation", "target", "test") and the
            domain, and returns another. The target comes with its labels, where it has any: this makes a problem, and
            does not train on one. A target that is its own test set (one array of inputs) is changed once.
        """
        own = self._oracle_labels
        target, test = dataclasses.replace(self.target, y=own), self.test
        if test is not None and test.x is self.target.x and (own is None or np.array_equal(own, test.y)):
            test = change("target", test)
            target = test if own is not None else test.unlabelled()
        else:
            target = change("target", target)
            test = None if test is None else change("test", test)
        twin = Scenario(
            [change(f"source/{place}", domain) for place, domain in enumerate(self.source)],
            target,
            test,
            validation=None if self.validation is None else change("validation", self.validation),
            classes=self.classes,
            name=self.name,
            task=self.task,
            origin=self.origin,
        )
        twin.is_oracle = self.is_oracle
        return twin

    def with_inputs(self, change: Callable[[Any, str], Any]) -> Scenario:
        """Return the same problem with other inputs: token ids for texts, features for pictures.

        Args:
          change: gets the inputs of a domain and its name, and returns as many others, in the same order. It is called
            once for inputs that several domains share, and sees no labels.
        """
        made: dict[int, Any] = {}

        def changed(domain: Domain) -> Domain:
            if id(domain.x) not in made:
                made[id(domain.x)] = change(domain.x, f"domain {domain.name!r}" if domain.name else "a domain")
            return dataclasses.replace(domain, x=made[id(domain.x)])

        twin = Scenario(
            [changed(domain) for domain in self.source],
            changed(dataclasses.replace(self.target, y=self._oracle_labels)),
            None if self.test is None else changed(self.test),
            validation=None if self.validation is None else changed(self.validation),
            classes=self.classes,
            name=self.name,
            task=self.task,
            origin=self.origin,
        )
        twin.is_oracle = self.is_oracle
        return twin

    def __repr__(self) -> str:
        sources = " + ".join(f"{d.name or 'source'}[{len(d)}]" for d in self.source)
        target = f"{self.target.name or 'target'}[{len(self.target)}]"
        return f"Scenario({self.name!r}: {sources} -> {target}, {len(self.classes)} classes)"
