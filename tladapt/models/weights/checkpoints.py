"""The tensors of a checkpoint: which of its dicts holds the weights, and what else it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

Tensor = TypeVar("Tensor")

_DEEPEST = 50
"""Containers in containers beyond this are no checkpoint; recursion stops here."""


class _Table(NamedTuple):
    """One dict of a checkpoint that holds tensors."""

    path: str
    tensors: dict[str, Any]
    parents: tuple[Mapping[Any, Any], ...]


def unwrap(content: Any, is_tensor: Callable[[Any], bool]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the dict with the most tensors of a nested checkpoint, and the words and numbers beside it.

    `{"state_dict": {...}, "epoch": 3}`, `{"model": ...}` and a plain state dict come out alike. Of equally large dicts
    the first one is taken.

    Args:
      content: dicts, lists, tuples, scalars, tensors.
      is_tensor: tells a tensor from all else.

    Returns:
      name -> tensor; and the metadata: the scalars of the dicts on the way, `taken_from` where the tensors were nested,
      `not_taken` with the other dicts that hold tensors.

    Example:
      >>> unwrap({"epoch": 3, "state_dict": {"weight": b"tensor"}}, lambda value: isinstance(value, bytes))
      ({'weight': b'tensor'}, {'epoch': '3', 'taken_from': 'state_dict'})
    """
    tables: list[_Table] = []
    seen: set[int] = set()

    def visit(node: Any, path: str, parents: tuple[Mapping[Any, Any], ...], depth: int) -> None:
        if not isinstance(node, dict | list | tuple) or id(node) in seen or depth > _DEEPEST:
            return
        seen.add(id(node))  # containers may hold themselves, or one other many times
        if isinstance(node, dict):
            found = {key: value for key, value in node.items() if isinstance(key, str) and is_tensor(value)}
            if found:
                tables.append(_Table(path, found, (*parents, node)))
            for key, value in node.items():
                visit(value, f"{path}/{key}" if path else str(key), (*parents, node), depth + 1)
        else:
            for index, value in enumerate(node):
                visit(value, f"{path}/{index}" if path else str(index), parents, depth + 1)

    visit(content, "", (), 0)
    if not tables:
        return {}, {}
    taken = max(tables, key=lambda table: len(table.tensors))
    metadata: dict[str, str] = {}
    for parent in taken.parents:
        metadata |= {str(key): _text(value) for key, value in parent.items() if _is_scalar(value)}
    if taken.path:
        metadata["taken_from"] = taken.path
    others = [f"{table.path or 'the outer dict'} ({len(table.tensors)})" for table in tables if table is not taken]
    if others:
        metadata["not_taken"] = ", ".join(others[:20]) + (f" and {len(others) - 20} more" if len(others) > 20 else "")
    return taken.tensors, metadata


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 10_000
    if isinstance(value, int):
        return value.bit_length() <= 64
    return isinstance(value, float)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def without_common_prefix(tensors: dict[str, Tensor], prefix: str = "module.") -> tuple[dict[str, Tensor], str]:
    """Return the tensors with `prefix` cut from their names where all have it, and what was cut.

    torch's DataParallel puts "module." before every name.

    Example:
      >>> without_common_prefix({"module.weight": 1, "module.bias": 2})
      ({'weight': 1, 'bias': 2}, 'module.')
      >>> without_common_prefix({"module.weight": 1, "bias": 2})
      ({'module.weight': 1, 'bias': 2}, '')
    """
    if tensors and all(name.startswith(prefix) and len(name) > len(prefix) for name in tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, prefix
    return tensors, ""
