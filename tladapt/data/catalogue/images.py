"""Pictures to arrays: one size, one number of channels, uint8; decoded into memory or on demand."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.data.catalogue.files import damaged
from tladapt.errors import UsageError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
MEMORY_BYTES = 1 << 30
"""Pictures of a scenario up to this size together are decoded into memory; more are decoded on demand."""


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Return images `[n, h, w]` or `[n, h, w, 3]` at `[n, side, side(, 3)]`, bilinear (with antialiasing when smaller).

    uint8 stays uint8; float32 grey images stay float32.
    """
    from PIL import Image

    if images.shape[1:3] == (side, side):
        return images
    out = np.empty((len(images), side, side, *images.shape[3:]), images.dtype)
    for i, image in enumerate(images):
        out[i] = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    return out


def check_size(size: int, *, smallest: int = 4) -> None:
    """Raise unless `size` can be the side of an image."""
    if not smallest <= size <= 4096:
        raise UsageError(f"size is the side of the images in pixels, from {smallest} to 4096, got {size}.")


def _opened(file: Any, called: str) -> Any:
    """Read the header of a picture, from an open file; a broken PNG is a SyntaxError to Pillow."""
    from PIL import Image

    try:
        return Image.open(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise damaged(called, f"cannot be read as an image ({problem})") from None


def decode(file: Path | bytes, *, size: int | None, channels: int, called: str | None = None) -> np.ndarray:
    """Return one picture as uint8 `[size, size, channels]`.

    The picture is turned upright by its EXIF orientation, made grey or RGB (transparency is dropped, 16 bits become
    8) and resized to a square, bilinear, whatever its proportions were: nothing is cut off, and proportions are not
    kept.

    Args:
      file: a path, or the encoded bytes.
      size: side in pixels; None leaves the size as it is.
      channels: 1 (grey) or 3 (RGB).
      called: what messages call it; None: the path.

    Raises:
      DamagedDataError: for a file that cannot be decoded.
    """
    from PIL import Image, ImageOps

    called = called or str(file)
    mode = "L" if channels == 1 else "RGB"
    image = _opened(io.BytesIO(file if isinstance(file, bytes) else file.read_bytes()), called)
    try:
        if size is not None:
            image.draft(mode, (2 * size, 2 * size))  # JPEG: decode at a fraction that is still twice as large
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
            image = Image.fromarray((np.asarray(image, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
        if image.mode == "P":
            image = image.convert("RGBA")
        image = image.convert(mode)
        if size is not None and image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise damaged(called, f"cannot be decoded ({problem})") from None
    pixels = np.asarray(image)
    return pixels[:, :, None] if channels == 1 else pixels


def decode_cropped(file: Path | bytes, *, resize: int, size: int, called: str | None = None) -> np.ndarray:
    """Return the centre of one picture as uint8 `[size, size, 3]`, as networks trained on ImageNet are evaluated.

    The short side becomes `resize` pixels and the long one `int(resize * long / short)`, bilinear with antialiasing;
    then the central square is cut out. RGB; an EXIF orientation is not looked at. Equal to torchvision's
    `Resize(resize)` and `CenterCrop(size)` of a Pillow image.

    Args:
      file: a path, or the encoded bytes.
      resize: length of the short side in pixels, at least `size`.
      size: side of the square in pixels.
      called: what messages call it; None: the path.

    Raises:
      DamagedDataError: for a file that cannot be decoded.
    """
    from PIL import Image

    called = called or str(file)
    image = _opened(io.BytesIO(file if isinstance(file, bytes) else file.read_bytes()), called)
    try:
        image = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise damaged(called, f"cannot be decoded ({problem})") from None
    width, height = image.size
    if width <= height:
        width, height = resize, int(resize * height / width)
    else:
        width, height = int(resize * width / height), resize
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def is_grey(path: Path) -> bool:
    """Return whether a picture has one channel, from its header alone."""
    with open(path, "rb") as file:
        mode = _opened(file, str(path)).mode
    return mode in ("1", "L", "LA") or mode.startswith("I")


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files as a random-access source: `len(files)`, `files[i] -> uint8 [size, size, channels]`."""

    paths: Sequence[Path]
    size: int
    channels: int
    resize: int | None = None
    """The shorter side before the centre is cut out; None: pictures are resized to a square."""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        if self.resize is not None and self.channels == 3:
            return decode_cropped(self.paths[index], resize=self.resize, size=self.size)
        return decode(self.paths[index], size=self.size, channels=self.channels)


def channels_of(files: Sequence[Path], channels: int | None) -> int:
    """Return `channels` if given, else 1 where all pictures are grey and 3 otherwise."""
    if channels is None:
        return 1 if all(is_grey(file) for file in files) else 3
    if channels not in (1, 3):
        raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {channels}.")
    return channels


def gather(sets: Sequence[Any], *, memory_bytes: int | None = None) -> list[Any]:
    """Return each random-access source as one array, or all as they are where together they exceed the limit.

    Args:
      sets: sources of uint8 pictures of one shape, none of them empty.
      memory_bytes: the limit; None: `MEMORY_BYTES`.
    """
    limit = MEMORY_BYTES if memory_bytes is None else memory_bytes
    if sum(len(one) * one[0].nbytes for one in sets) > limit:
        return list(sets)
    with ThreadPoolExecutor(8) as pool:
        return [np.stack(list(pool.map(one.__getitem__, range(len(one))))) for one in sets]
