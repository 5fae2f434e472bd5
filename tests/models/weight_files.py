"""Files of torch.save written byte by byte without torch, sound ones and others: opcodes of pickles, and both forms."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
PROTO, STOP = b"\x80\x02", b"."


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def dict_of(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tuple_of(*arguments) + b"R"


def ordered(items: Mapping[str, bytes]) -> bytes:
    """An OrderedDict with items, and with the attribute that torch gives to state dicts."""
    table = name("collections", "OrderedDict") + b")R(" + b"".join(text(k) + v for k, v in items.items()) + b"u"
    return table + dict_of({"_metadata": name("collections", "OrderedDict") + b")R"}) + b"b"


def storage(key: str, size: int, kind: str = "FloatStorage", *rest: bytes) -> bytes:
    return tuple_of(text("storage"), name("torch", kind), text(key), text("cpu"), number(size), *rest) + b"Q"


def tensor(
    stored: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, form: str = "_rebuild_tensor_v2"
) -> bytes:
    sizes, steps = (tuple_of(*map(number, values)) for values in (shape, strides))
    extra = (b"\x89", name("collections", "OrderedDict") + b")R") if form == "_rebuild_tensor_v2" else ()
    return call(name("torch._utils", form), stored, number(offset), sizes, steps, *extra)


def zip_form(
    path: Path, content: bytes, storages: Mapping[str, bytes] = {}, more: Mapping[str, bytes] = {}, **options: int
) -> Path:
    """Write `content`, opcodes between the first and the last, as torch.save writes it since 1.6."""
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[arg-type]
        archive.writestr("archive/data.pkl", PROTO + content + STOP)
        for entry, value in ({"archive/byteorder": b"little"} | dict(more)).items():
            archive.writestr(entry, value)
        for key, value in storages.items():
            archive.writestr(f"archive/data/{key}", value)
    return path


def legacy_form(path: Path, content: bytes, storages: Mapping[str, tuple[int, bytes]] = {}) -> Path:
    """Write `content` as torch.save wrote it before; storages are (number of elements, bytes)."""
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, SYSTEM))
    tail = pickle.dumps(list(storages), 2)
    tail += b"".join(struct.pack("<q", count) + values for count, values in storages.values())
    path.write_bytes(head + PROTO + content + STOP + tail)
    return path


def npy(header: bytes, values: bytes) -> bytes:
    """One .npy file with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for entry, value in entries.items():
            archive.writestr(entry, value)
    return content.getvalue()
