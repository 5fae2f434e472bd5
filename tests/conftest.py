"""Strict surroundings for every test: what would pass by luck fails here.

Strict dtype promotion, rank promotion that raises, eight simulated CPU devices, no network, a compile cache; and
programs are compiled quickly, not well. Warnings are errors: that line stands in pyproject.toml.
"""

from __future__ import annotations

import ipaddress
import os
import pathlib
import socket
from typing import Any

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib: figures are drawn without a screen

import jax
import jaxlib
import pytest
from absl import flags

CACHE = pathlib.Path(__file__).resolve().parents[1] / ".cache" / "jax"

# All of these have to be said before the first array is made.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR", str(CACHE)))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# Most of the suite's time is compiling programs that then run for milliseconds.
jax.config.update("jax_disable_most_optimizations", True)
if jaxlib.__version__.startswith("0.10."):
    # Two thirds of the time to compile a training step goes into one part of that compiler, which generates the code of
    # fused loops by way of MLIR. Its older way is quicker; later versions have no such option, and end where they meet
    # it. Child processes get it from the environment.
    flag, given = "--xla_cpu_use_fusion_emitters=false", os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = given if flag in given else f"{given} {flag}".strip()

if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # Grain and TFDS read absl flags, which only an absl `app.run` would parse


def pytest_configure(config: pytest.Config) -> None:
    # Two test processes may write one cache entry at once; JAX then warns and compiles afresh, which changes no number.
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache:UserWarning")


def _is_local(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True  # unix sockets and the like stay on this machine
    host = str(address[0])
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a host name
        return False


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if not _is_local(self.family, address):
            raise OSError(f"A test tried to reach {address!r}. Tests have no network: use a file that the test makes.")
        return connect(self, address)

    return guarded


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Any:
    """Refuse every connection that leaves this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
        yield
