"""Own data without registration: an .npz of arrays; and how classes are matched by name."""

from __future__ import annotations

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from tladapt.data.catalogue.entry import ScenarioEntry
from tladapt.data.catalogue.files import damaged, sha256
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import UsageError
from tladapt.registry import suggest


def indices(labels: Sequence[str], classes: Sequence[str], *, called: str) -> np.ndarray:
    """Return the class index of each name, int32 `[n]`.

    Raises:
      UsageError: for a name that the source has not; it is matched by name, never by order.
    """
    place = {name: index for index, name in enumerate(classes)}
    strange = sorted(set(labels) - set(classes))
    if strange:
        raise UsageError(
            f"{called} has classes that the source has not: {', '.join(map(repr, strange[:5]))}"
            f"{' ...' if len(strange) > 5 else ''}.{suggest(strange[0], classes)} Classes are matched by name, and the"
            " source must have all of the target's (partial and open-set adaptation are other problems)."
        )
    return np.array([place[label] for label in labels], np.int32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Npz(ScenarioEntry):
    """Arrays in one .npz: source_x, source_y, target_x; and, where given, the other `NAMES`.

    The others are target_y (put away), test_x, test_y, validation_x, validation_y. Labels are integers from 0, or
    names; `classes` holds the names in order. `test_groups` and `target_groups` say which examples belong together
    (one patient, one digit).
    """

    path: str
    """The file."""

    summary: ClassVar[str] = "own arrays: FILE.npz with source_x, source_y, target_x, [target_y], [test_x, test_y], ..."
    domains: ClassVar[tuple[str, ...]] = ("source", "target")

    NAMES: ClassVar[tuple[str, ...]] = (
        *(
            "source_x",
            "source_y",
            "target_x",
            "target_y",
            "test_x",
            "test_y",
            "validation_x",
            "validation_y",
            "classes",
        ),
        *("target_groups", "test_groups"),
    )

    def _read(self) -> dict[str, np.ndarray]:
        try:
            with open(self.path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                for name in file.files:
                    if name not in self.NAMES:
                        raise UsageError(
                            f"{self.path} has an array {name!r}.{suggest(name, self.NAMES)}"
                            f" Known: {', '.join(self.NAMES)}."
                        )
                return {name: file[name] for name in file.files}
        except UsageError:
            raise
        except ValueError as problem:
            if "Object arrays" in str(problem):
                raise UsageError(
                    f"{self.path} holds an array of Python objects; save numbers, or names as"
                    " numpy.array(names, dtype=str)."
                ) from None
            raise damaged(self.path, f"cannot be read ({problem})") from None
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
            raise damaged(self.path, f"is truncated or not an .npz file ({problem})") from None

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the arrays."""
        del data_dir
        arrays = self._read()
        missing = [name for name in ("source_x", "source_y", "target_x") if name not in arrays]
        for role in ("test", "validation"):
            pair = {f"{role}_x", f"{role}_y"} & set(arrays)
            missing += sorted({f"{role}_x", f"{role}_y"} - pair) if pair else []
        if missing:
            raise UsageError(f"{self.path} has no {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}.")
        classes = [str(name) for name in arrays["classes"].ravel()] if "classes" in arrays else None
        if arrays["source_y"].dtype.kind in "US":
            classes = classes or sorted({str(name) for name in arrays["source_y"].ravel()})

        def domain(role: str) -> Domain | None:
            if f"{role}_x" not in arrays:
                return None
            y = arrays.get(f"{role}_y")
            if y is not None and y.dtype.kind in "US":
                if classes is None:
                    raise UsageError(
                        f"{self.path}: {role}_y holds names and source_y integers; add an array 'classes'."
                    )
                y = indices([str(name) for name in y.ravel()], classes, called=f"{role}_y of {self.path}")
            return Domain(arrays[f"{role}_x"], y, name=role, groups=arrays.get(f"{role}_groups"))

        source, target = domain("source"), domain("target")
        assert source is not None and target is not None
        return Scenario(
            source,
            target,
            domain("test"),
            validation=domain("validation"),
            classes=classes,
            name=Path(self.path).stem,
            origin={"files": {self.path: sha256(Path(self.path))}},
        )
