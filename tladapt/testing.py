"""The conformance kit: what a loss has to do to be one, checked from the outside, with words for what it does not do.

`check_loss(fn)` is for anybody's loss. It exists because an adaptation loss that does nothing trains without an error:
a detached copy, a sum where a mean was meant or a reversed sign show in no traceback and in no shape.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

Kind = Literal["pair", "domains", "single", "aligned", "labelled"]

_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "pair": ("source features", "target features"),
    "domains": ("source logits", "target logits"),
    "single": ("logits",),
    "aligned": ("first logits", "second logits"),
    "labelled": ("logits", "labels"),
}


class ConformanceError(AssertionError):
    """A loss that failed a check of `check_loss`; the message names the check, the numbers and the usual cause."""


def check_loss(
    fn: Callable[..., Any],
    *,
    kind: Kind = "pair",
    sizes: Sequence[tuple[int, int]] = ((32, 32), (17, 23), (9, 4)),
    width: int = 8,
    equal_sizes: bool = False,
    permutation: bool = True,
    weights: bool | None = None,
    no_gradient: Sequence[int] = (),
    bias: float = 0.0,
    tolerance: float = 0.25,
    reference: Callable[..., float] | None = None,
    seed: int = 0,
) -> None:
    """Run the conformance kit on a loss; silence means that it passed.

    The checks, in order: `value` (a finite floating scalar at odd and unequal sizes), `reference`, `gradient` (finite
    and not zero), `pure`, `compiled` (jit equals eager, one trace), `descent` (a step against the gradient lowers the
    loss), `equal` and `shift` (kind "pair": about 0 for equal domains, more for shifted ones), `permutation`, `mean`
    (not a sum: every example twice changes little), `weights` (weight 0 equals leaving out), `precision` (float32
    stays, bfloat16 is finite), `degenerate` (constant, identical and extreme inputs) and `devices` (the batch split
    over 2, 4, 8 devices, as far as there are).

    Args:
      fn: the loss, of arrays and perhaps of keyword weights, without randomness.
      kind: what `fn` takes.
        "pair": a discrepancy of `(source_features [n_s, width], target_features [n_t, width])`, to be minimised;
        "domains": a loss of `(source_logits [n_s], target_logits [n_t])`, a discriminator's;
        "single": a loss of one batch of `logits [n, width]`;
        "aligned": a loss of two batches `[n, width]` about the same examples;
        "labelled": a loss of `(logits [n, width], labels [n])`, int32.
      sizes: pairs (n_s, n_t) of batch sizes to try; kinds with one batch take the first of each pair.
      width: features, or classes.
      equal_sizes: whether `fn` needs n_s = n_t. Then it has to refuse anything else by `ValueError`.
      permutation: whether the order of the examples must not matter.
      weights: whether `fn` takes `source_weights` and `target_weights` (`weights` for kinds with one batch) and is
        checked with them. None looks at its signature.
      no_gradient: positions of arguments that must get none, exactly: a teacher's logits.
      bias: how far from 0 a discrepancy of equal domains may be by design, beside `tolerance`.
      tolerance: the noise of small batches, relative to the value for shifted domains; `mean` and `equal` use it.
        Unbiased estimators can be a little below 0 for equal domains, biased ones a little above.
      reference: the same loss in plain float64 NumPy, `(*arrays) -> float`; compared to 1 part in 10,000.
      seed: of the random inputs.

    Raises:
      ConformanceError: at the first check that fails.
      ValueError: for an unknown kind.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from tladapt.testing import check_loss
      >>> def difference_of_means(source, target):
      ...     return jnp.sum((source.mean(0) - target.mean(0)) ** 2)
      >>> check_loss(difference_of_means)
      >>> check_loss(lambda source, target: difference_of_means(jax.lax.stop_gradient(source), target))
      Traceback (most recent call last):
      ...
      tladapt.testing.ConformanceError: check 'gradient': no gradient reaches the source features at sizes (32, 32): ...
    """
    if kind not in _ARGUMENTS:
        raise ValueError(f"Expected `kind` to be one of {', '.join(_ARGUMENTS)}, got {kind!r}.")
    if weights is None:
        weights = set(_weight_names(kind)) <= set(inspect.signature(fn).parameters)
    case = _Case(fn, kind, tuple(sizes), width, equal_sizes, tuple(no_gradient), bias, tolerance, seed)
    _check_value(case)
    if reference is not None:
        _check_reference(case, reference)
    _check_gradient(case)
    _check_pure_and_compiled(case)
    _check_descent(case)
    if kind == "pair":
        _check_equal_and_shift(case)
    if permutation:
        _check_permutation(case)
    _check_mean(case)
    if weights:
        _check_weights(case)
    _check_precision(case)
    _check_degenerate(case)
    _check_devices(case)


@dataclasses.dataclass(frozen=True)
class _Case:
    """A loss under test, and how to call it."""

    fn: Callable[..., Any]
    kind: Kind
    given_sizes: tuple[tuple[int, int], ...]
    width: int
    equal_sizes: bool
    no_gradient: tuple[int, ...]
    bias: float
    tolerance: float
    seed: int

    def __post_init__(self) -> None:
        # One compiled function for all checks: each shape compiles once.
        fn, moved = self.fn, self.moved
        object.__setattr__(self, "_both", jax.jit(jax.value_and_grad(fn, argnums=moved)))

    @property
    def names(self) -> tuple[str, ...]:
        return _ARGUMENTS[self.kind]

    @property
    def unpaired(self) -> bool:
        return self.kind in ("pair", "domains")

    @property
    def moved(self) -> tuple[int, ...]:
        """Positions of the floating arguments."""
        return (0,) if self.kind in ("single", "labelled") else (0, 1)

    @property
    def even(self) -> tuple[int, int]:
        """A size that losses over pairs of examples and 8 devices divide."""
        return (32, 32)

    def sizes(self) -> list[tuple[int, int]]:
        """The sizes that `fn` has to take."""
        if self.equal_sizes or not self.unpaired:
            return [(n, n) for n in dict.fromkeys(n for n, _ in self.given_sizes)]
        return list(self.given_sizes)

    def inputs(self, sizes: tuple[int, int], *, shift: float = 1.0, draw: int = 0) -> list[np.ndarray]:
        """Random float32 inputs. `shift` 0 gives two samples of one distribution, 1 moves and stretches the second."""
        rng = np.random.default_rng([self.seed, draw, *sizes])
        n, m = sizes
        if self.kind == "labelled":
            return [2 * _normal(rng, n, self.width), rng.integers(0, self.width, n).astype(np.int32)]
        if self.kind == "domains":
            return [_normal(rng, n, 1)[:, 0], _normal(rng, m, 1)[:, 0]]
        if self.kind == "pair":
            moved = (1 + shift) * _normal(rng, m, self.width) + np.float32(1.5 * shift)
            return [_normal(rng, n, self.width), moved.astype(np.float32)]
        return [2 * _normal(rng, n, self.width) for _ in self.names]

    def value(self, *arrays: Any, **keywords: Any) -> Any:
        """`fn` as it is, eagerly; an exception becomes a failed check."""
        try:
            return self.fn(*map(jnp.asarray, arrays), **keywords)
        except Exception as error:
            _fail("value", f"{_raised(error)} at shapes {[a.shape for a in arrays]}.", _RAISES, error)

    def both(self, check: str, *arrays: Any, **keywords: Any) -> tuple[float, list[np.ndarray]]:
        """Value and gradients, compiled, as float64 arrays on the host."""
        try:
            value, gradients = self._both(*arrays, **keywords)  # type: ignore[attr-defined]
        except Exception as error:
            _fail(check, f"{_raised(error)} under jax.jit(jax.value_and_grad(fn)).", _UNTRACEABLE, error)
        return float(value), [np.asarray(g.astype(jnp.float32), np.float64) for g in gradients]


_RAISES = (
    "Usual cause: halves split by position or matrices subtracted, which needs equal batches (a loss that does need "
    "them refuses others by ValueError and is checked with equal_sizes=True), or shapes and dtypes that were mixed."
)
_UNTRACEABLE = (
    "Usual cause: float(), bool(), `if` or NumPy on an array: stay in jax.numpy, and use jnp.where for a condition."
)
_NO_GRADIENT = (
    "look for stop_gradient, argmax, sign, round, a comparison, or a detached copy. Training would run and adapt "
    "nothing."
)


def _fail(check: str, what: str, cause: str, error: Exception | None = None) -> NoReturn:
    raise ConformanceError(f"check {check!r}: {what} {cause}") from error


def _raised(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"the loss raised {type(error).__name__} ({lines[0] if lines else 'no message'})"


def _normal(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    return rng.standard_normal((n, width)).astype(np.float32)


def _close(a: Any, b: Any, relative: float) -> bool:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = max(float(np.max(np.abs(a), initial=0.0)), float(np.max(np.abs(b), initial=0.0)))
    return bool(np.all(np.abs(a - b) <= relative * scale + 1e-6))


def _check_value(case: _Case) -> None:
    for sizes in case.sizes():
        value = case.value(*case.inputs(sizes))
        shape, dtype = jnp.shape(value), jnp.result_type(value)
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            _fail(
                "value",
                f"expected a floating scalar, got shape {shape} and {dtype}.",
                "Usual cause: no mean at the end.",
            )
        if not np.isfinite(float(value)):
            _fail("value", f"{float(value)} at sizes {sizes}.", "Usual cause: log(0), sqrt(0), x / 0 or overflow.")
    if case.equal_sizes and case.unpaired:
        try:
            case.fn(*map(jnp.asarray, case.inputs((6, 4))))
        except ValueError:
            return
        except Exception as error:
            _fail("value", f"{_raised(error)} at sizes (6, 4).", "Refuse unequal sizes by a ValueError that says so.")
        _fail(
            "value", "unequal sizes (6, 4) passed in silence.", "Refuse them by ValueError, or drop equal_sizes=True."
        )


def _check_reference(case: _Case, reference: Callable[..., float]) -> None:
    for sizes in case.sizes():
        arrays = case.inputs(sizes)
        expected = float(reference(*[a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]))
        value, _ = case.both("reference", *arrays)
        if not _close(value, expected, 1e-4):
            _fail("reference", f"{value} where the reference has {expected}, sizes {sizes}.", "Compare the formulas.")


def _check_gradient(case: _Case) -> None:
    for sizes in case.sizes():
        _, gradients = case.both("gradient", *case.inputs(sizes))
        for position, gradient in zip(case.moved, gradients, strict=True):
            name = case.names[position]
            if not np.all(np.isfinite(gradient)):
                _fail(
                    "gradient",
                    f"the gradient of the {name} is not finite at sizes {sizes}.",
                    "Usual cause: sqrt or log at 0, guarded by a jnp.where outside only: guard its argument too.",
                )
            if position in case.no_gradient:
                if np.any(gradient != 0):
                    _fail(
                        "gradient",
                        f"the {name} get a gradient, up to {np.abs(gradient).max():.3g}, and should get none.",
                        "Put jax.lax.stop_gradient around them.",
                    )
            elif not np.any(gradient != 0):
                _fail("gradient", f"no gradient reaches the {name} at sizes {sizes}:", _NO_GRADIENT)


def _check_pure_and_compiled(case: _Case) -> None:
    arrays = case.inputs(case.even)
    first, second = float(case.value(*arrays)), float(case.value(*arrays))
    if first != second:
        _fail("pure", f"the same inputs gave {first} and then {second}.", "Usual cause: a counter, or randomness.")
    traces = 0

    def counted(*arguments: jax.Array) -> Any:
        nonlocal traces
        traces += 1
        return case.fn(*arguments)

    compiled = jax.jit(counted)
    for draw in range(3):
        arrays = case.inputs(case.even, draw=draw)
        eager, value = float(case.value(*arrays)), float(compiled(*arrays))
        if not _close(eager, value, 1e-4):
            _fail("compiled", f"{value} compiled and {eager} eagerly.", "Usual cause: state, or branches on values.")
    if traces != 1:
        _fail("compiled", f"{traces} traces for 3 calls of one shape.", "Usual cause: Python state inside the loss.")


def _check_descent(case: _Case) -> None:
    arrays = case.inputs(case.even)
    value, gradients = case.both("descent", *arrays)
    for position, gradient in zip(case.moved, gradients, strict=True):
        if position in case.no_gradient:
            continue
        x = arrays[position]
        direction = gradient / np.linalg.norm(gradient) * np.linalg.norm(x)
        lower, after = False, value
        for length in (1e-2, 1e-3):
            moved = list(arrays)
            moved[position] = (x - length * direction).astype(np.float32)
            after, _ = case.both("descent", *moved)
            lower = lower or after < value
        if not lower:
            _fail(
                "descent",
                f"the gradient points away from lower values: a small step against the gradient of the "
                f"{case.names[position]} took the loss from {value:.6g} to {after:.6g}.",
                "Usual cause: a reversal, or a custom gradient, with the wrong sign.",
            )


def _check_equal_and_shift(case: _Case) -> None:
    sizes = (64, 64)
    shifted, _ = case.both("shift", *case.inputs(sizes))
    source, target = case.inputs(sizes, shift=0.0)
    equal, _ = case.both("equal", source, target)
    same, _ = case.both("equal", source, source)
    if shifted <= max(equal, same):
        _fail(
            "shift",
            f"{shifted:.6g} for shifted domains is not above {equal:.6g} for equal ones ({same:.6g} for one batch "
            "twice).",
            "Usual cause: the sign (a discrepancy is minimised), or a loss that does not look at the shift.",
        )
    allowed = case.bias + case.tolerance * abs(shifted)
    for what, value in (("two samples of one distribution", equal), ("one batch twice", same)):
        if abs(value) > allowed:
            _fail(
                "equal",
                f"{value:.6g} for {what}, expected 0 within {allowed:.3g} ({shifted:.6g} for shifted domains).",
                "Usual cause: a missing or wrong term; if the loss has that bias by design, state it by bias=.",
            )


def _check_permutation(case: _Case) -> None:
    arrays = case.inputs(case.even)
    rng = np.random.default_rng(case.seed)
    orders = [rng.permutation(len(a)) for a in arrays]
    if not case.unpaired:
        orders = [orders[0]] * len(arrays)
    before, _ = case.both("permutation", *arrays)
    after, _ = case.both("permutation", *[a[order] for a, order in zip(arrays, orders, strict=True)])
    if not _close(before, after, 1e-4):
        _fail(
            "permutation",
            f"{before:.6g} became {after:.6g} when the examples were reordered.",
            "Usual cause: examples of the two domains compared by position. A loss that pairs examples on purpose is "
            "checked with permutation=False.",
        )


def _check_mean(case: _Case) -> None:
    arrays = case.inputs(case.even)
    once, _ = case.both("mean", *arrays)
    twice, _ = case.both("mean", *[np.concatenate([a, a]) for a in arrays])
    if abs(twice - once) > case.tolerance * abs(once) + 1e-6:
        _fail(
            "mean",
            f"{once:.6g} became {twice:.6g} with every example twice: the weight of the loss would depend on the batch "
            "size.",
            "Usual cause: a sum over examples where a mean was meant.",
        )


def _weight_names(kind: str) -> tuple[str, ...]:
    return ("source_weights", "target_weights") if kind in ("pair", "domains") else ("weights",)


def _check_weights(case: _Case) -> None:
    small = case.inputs((12, 9) if case.unpaired and not case.equal_sizes else (12, 12))
    rng = np.random.default_rng(case.seed + 1)
    padded: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    keywords: dict[str, jax.Array] = {}
    for position, x in enumerate(small):
        n = len(x) + 5
        places = np.sort(rng.permutation(n)[: len(x)]) if case.unpaired or position == 0 else kept[0]
        full = np.full((n, *x.shape[1:]), 1e3 if x.dtype.kind == "f" else 0, x.dtype)
        full[places] = x
        weights = np.zeros(n, np.float32)
        weights[places] = 1
        padded.append(full)
        kept.append(places)
        if position < len(_weight_names(case.kind)):
            keywords[_weight_names(case.kind)[position]] = jnp.asarray(weights)
    value, gradients = case.both("weights", *small)
    weighted, weighted_gradients = case.both("weights", *padded, **keywords)
    cause = "Usual cause: a mean over all rows, or a batch statistic (bandwidth, covariance, marginal) without weights."
    if not _close(value, weighted, 1e-4):
        _fail("weights", f"{value:.6g} without five examples and {weighted:.6g} with weight 0 on them.", cause)
    for position, gradient, padded_gradient in zip(case.moved, gradients, weighted_gradients, strict=True):
        name = case.names[position]
        rest = np.delete(padded_gradient, kept[position], axis=0)
        if np.any(rest != 0):
            _fail("weights", f"{name} of weight 0 get a gradient, up to {np.abs(rest).max():.3g}.", cause)
        if not _close(gradient, padded_gradient[kept[position]], 1e-3):
            _fail("weights", f"the gradient of the {name} is another one when examples have weight 0.", cause)


def _check_precision(case: _Case) -> None:
    arrays = case.inputs(case.even)
    dtype = jnp.result_type(case.value(*arrays))
    if dtype != jnp.float32:
        _fail("precision", f"float32 in, {dtype} out.", "Usual cause: a constant or a cast of another precision.")
    half = [jnp.asarray(a, jnp.bfloat16) if a.dtype.kind == "f" else jnp.asarray(a) for a in arrays]
    value, gradients = case.both("precision", *half)
    if not np.isfinite(value) or not all(np.all(np.isfinite(g)) for g in gradients):
        _fail(
            "precision", f"{value} (or its gradient) is not finite in bfloat16.", "Compute in float32 inside the loss."
        )


def _check_degenerate(case: _Case) -> None:
    base = case.inputs(case.even)

    def filled(value: float) -> list[np.ndarray]:
        return [np.full_like(a, value) if a.dtype.kind == "f" else a for a in base]

    situations = {"all zeros": filled(0.0), "constant inputs": filled(0.3), "constant large inputs": filled(1e3)}
    scale = 1e2 if case.kind == "pair" else 1e4  # logits saturate any softmax; features stay in a float32 distance
    situations["extreme inputs"] = [scale * a if a.dtype.kind == "f" else a for a in base]
    if len(case.moved) == 2:
        situations["two equal batches"] = [base[0], base[0]]
    for what, arrays in situations.items():
        value, gradients = case.both("degenerate", *[a.astype(b.dtype) for a, b in zip(arrays, base, strict=True)])
        if not np.isfinite(value):
            _fail(
                "degenerate", f"the value is {value} for {what}.", "Usual cause: x / 0 (a bandwidth, a norm) or log(0)."
            )
        for position, gradient in zip(case.moved, gradients, strict=True):
            if not np.all(np.isfinite(gradient)):
                _fail(
                    "degenerate",
                    f"the gradient of the {case.names[position]} is not finite for {what}.",
                    "Usual cause: sqrt, a norm or log at 0: guard its argument inside the jnp.where as well.",
                )


def _check_devices(case: _Case) -> None:
    arrays = case.inputs(case.even)
    value, gradients = case.both("devices", *arrays)
    for count in (2, 4, 8):
        if count > jax.device_count():
            return
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), ("data",))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        other, other_gradients = case.both("devices", *[jax.device_put(a, split) for a in arrays])
        same = all(_close(a, b, 1e-3) for a, b in zip(gradients, other_gradients, strict=True))
        if not _close(value, other, 1e-4) or not same:
            _fail(
                "devices",
                f"{value:.6g} on one device, {other:.6g} with the batch split over {count} (or another gradient).",
                "Usual cause: shard_map or pmap with a statistic of each device's part: use the global batch.",
            )
