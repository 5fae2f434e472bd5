"""The package as a whole: its public names, what importing it costs, which room imports which."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import pathlib
import subprocess
import sys
import tomllib

import pytest

import tladapt

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEAVY = ("tensorflow", "torch", "matplotlib", "sklearn", "orbax", "tensorflow_datasets", "grain", "PIL", "h5py")


def in_a_fresh_process(code: str) -> str:
    """Run `code` in another interpreter and return what it printed last."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("name", tladapt.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(tladapt, name) is not None
    assert name in dir(tladapt)


def test_every_home_is_of_a_public_name() -> None:
    assert set(tladapt._HOMES) <= set(tladapt.__all__)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'tladapt' has no attribute 'Confg'"):
        _ = tladapt.Confg  # type: ignore[attr-defined]
    assert not hasattr(tladapt, "no_such_room")


def test_import_does_nothing_and_takes_under_two_seconds() -> None:
    time_it = "import sys, time; t = time.perf_counter(); import tladapt; print(time.perf_counter() - t)"
    assert min(float(in_a_fresh_process(time_it)) for _ in range(3)) < 2
    assert in_a_fresh_process("import sys, tladapt; print('jax' in sys.modules)") == "False"


def test_public_names_pull_no_heavy_package() -> None:
    code = (
        "import sys, tladapt\n"
        "for name in tladapt.__all__: getattr(tladapt, name)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert in_a_fresh_process(code) == "[]"


def test_rooms_import_only_the_rooms_below() -> None:
    pytest.importorskip("importlinter")  # of the extra `dev`
    command = "import importlinter.cli as cli; cli.lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout  # the contracts of setup.cfg were read


def test_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert importlib.metadata.version("tladapt") == tladapt.__version__


def test_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tladapt", "--version"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert tladapt.__version__ in done.stdout


def test_types_ship() -> None:
    assert importlib.resources.files("tladapt").joinpath("py.typed").is_file()
