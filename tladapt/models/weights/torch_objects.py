"""What the pickle of a torch file may name, and what stands in for it: storages, dtypes, tensors not yet read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tladapt.models.weights.pickles import Constructor, PickleBrokenError, PickleRefusedError, pairs
from tladapt.models.weights.store import DTYPES

_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
_DTYPE_NAMES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32"},
    **{"int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL"},
}
_LARGEST = 2**48  # elements; keeps products of sizes within what NumPy can count


@dataclasses.dataclass(frozen=True)
class StorageType:
    """The kind of a storage: what its elements are; None: bytes, and each tensor says."""

    dtype: np.dtype | None


@dataclasses.dataclass(frozen=True)
class Storage:
    """A flat array that lies elsewhere in the file, or a stretch of it.

    Args:
      key: its name in the file.
      dtype: of its elements; None: bytes.
      whole: how many elements lie under that name.
      size: how many of them are the stretch's.
      offset: where the stretch begins, in elements.
    """

    key: str
    dtype: np.dtype | None
    whole: int
    size: int
    offset: int = 0

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return 1 if self.dtype is None else self.dtype.itemsize


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage: `t[i, j, ...] = storage[offset + i * strides[0] + j * strides[1] + ...]`."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def persistent(identity: Any) -> Storage:
    """Return the storage that a persistent id means: `("storage", type, key, device, elements[, view])`.

    Raises:
      PickleRefusedError: for an id of another kind.
      PickleBrokenError: for one that makes no sense.
    """
    parts: tuple[Any, ...] = identity if isinstance(identity, tuple) else ()
    if not parts or parts[0] != "storage":
        shown = f"{parts[0][:40]!r}" if parts and isinstance(parts[0], str) else f"a {type(identity).__name__}"
        raise PickleRefusedError(f"it refers to an outside object of the kind {shown}, and only 'storage' is data")
    if len(parts) not in (5, 6) or not (
        isinstance(kind := parts[1], StorageType) and isinstance(key := parts[2], str) and _is_count(size := parts[4])
    ):
        raise PickleBrokenError("a storage has not the form ('storage', type, key, device, elements)")
    view = parts[5] if len(parts) == 6 else None
    if view is None:
        return Storage(key, kind.dtype, size, size)
    if not (isinstance(view, tuple) and len(view) == 3 and _is_count(view[1]) and _is_count(view[2])):
        raise PickleBrokenError(f"the view of storage {key!r} has not the form (key, offset, elements)")
    if view[1] + view[2] > size:
        raise PickleBrokenError(f"a view of storage {key!r} reaches beyond its {size:,} elements")
    return Storage(key, kind.dtype, size, view[2], view[1])


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or storage.dtype is None:
        raise PickleBrokenError("a tensor has no storage of numbers")
    return _tensor(storage, storage.dtype, storage.size, offset, shape, strides)


def _rebuild_tensor_with_dtype(
    storage: Any, offset: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(dtype, np.dtype):
        raise PickleBrokenError("a tensor has no storage, or no dtype")
    held = storage.size * storage.itemsize // dtype.itemsize
    return _tensor(storage, dtype, held, offset, shape, strides)


def _tensor(storage: Storage, dtype: np.dtype, held: int, offset: Any, shape: Any, strides: Any) -> Tensor:
    """Return the tensor after checking that it lies within the `held` elements of its storage."""
    numbers = (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    if not all(map(_is_count, numbers)) or len(shape) != len(strides) or len(shape) > 32:
        raise PickleBrokenError(
            f"a tensor in storage {storage.key!r} has an offset, a shape or strides that are not whole numbers from 0"
            " on, one stride an axis"
        )
    count = math.prod(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if count else offset
    if (count and last >= held) or offset > held:
        raise PickleBrokenError(
            f"a tensor of shape {list(shape)} reaches to element {last:,} of storage {storage.key!r}, which has"
            f" {held:,}"
        )
    if math.prod(max(1, size) for size in shape) > _LARGEST:
        raise PickleBrokenError(f"a tensor of shape {list(shape)} has more elements than can be counted")
    if count > held:
        raise PickleBrokenError(
            f"a tensor of shape {list(shape)} repeats the {held:,} elements of storage {storage.key!r}; save its"
            " .contiguous() form"
        )
    return Tensor(storage, dtype, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise PickleBrokenError(f"a parameter holds a {type(data).__name__} and no tensor")
    return data


def _subclass(constructor: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    """Stand in for a tensor with attributes of its own: the tensor without them."""
    if not (isinstance(constructor, Constructor) and isinstance(arguments, tuple)):
        raise PickleBrokenError("a tensor with attributes is not made from a tensor")
    return constructor.function(*arguments)


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    if not isinstance(items, list | tuple) or not all(
        isinstance(item, list | tuple) and len(item) == 2 for item in items
    ):
        raise PickleBrokenError("an OrderedDict is not made from pairs")
    return pairs([part for item in items for part in item])


def _default_dict(_factory: Any = None, *_: Any) -> dict[Any, Any]:
    return {}


def _as_tuple(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, list | tuple):
        raise PickleBrokenError(f"a shape is made from a {type(items).__name__}")
    return tuple(items)


def _as_list(items: Any = ()) -> list[Any]:
    return list(_as_tuple(items))


def _encode(text: Any, coding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or coding not in ("latin1", "latin-1"):
        raise PickleBrokenError("bytes are not made from latin1 text")
    return text.encode("latin-1")


def _device(*parts: Any) -> str:
    return ":".join(str(part) for part in parts if isinstance(part, str | int))[:40]


def _names() -> dict[str, Any]:
    functions: dict[str, Callable[..., Any]] = {
        "collections.OrderedDict": _ordered_dict,
        "collections.defaultdict": _default_dict,
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v3": _rebuild_tensor_with_dtype,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _subclass,
        "torch.Size": _as_tuple,
        "torch.device": _device,
        "_codecs.encode": _encode,
    }
    for module in ("builtins", "__builtin__"):
        functions |= {f"{module}.set": _as_list, f"{module}.list": _as_list, f"{module}.dict": _ordered_dict}
    names: dict[str, Any] = {name: Constructor(name, function) for name, function in functions.items()}
    for name, code in _STORAGES.items():
        kind = StorageType(np.dtype(DTYPES[code]))
        names |= {f"torch.{name}": kind, f"torch.cuda.{name}": kind}
    names |= {f"torch.{name}": np.dtype(DTYPES[code]) for name, code in _DTYPE_NAMES.items()}
    names |= {"torch.storage.UntypedStorage": StorageType(None)}
    names |= {
        "torch.Tensor": None,
        "torch.nn.parameter.Parameter": None,
    }  # named by tensors with attributes, not called
    return names


NAMES = _names()
"""Dotted name -> stand-in: all that the pickle of a torch file may ask for."""


def view(tensor: Tensor, content: bytes | memoryview) -> np.ndarray:
    """Return the array of a tensor over the bytes of its whole storage, little-endian, read-only and without a copy."""
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, tensor.dtype)
    flat = np.frombuffer(content, np.uint8)[tensor.storage.offset * tensor.storage.itemsize :]
    flat = flat[: len(flat) // tensor.dtype.itemsize * tensor.dtype.itemsize].view(tensor.dtype)[tensor.offset :]
    steps = tuple(stride * tensor.dtype.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, steps, writeable=False)
