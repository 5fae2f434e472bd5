"""Where JAX keeps what it compiled, so that the next run of the same shape starts at once."""

from __future__ import annotations

import os
import platform


def keep_compiled() -> None:
    """Name the folder in variables that JAX reads when it is imported; those that are set already are left alone.

    A folder that cannot be written is left out: JAX would complain at every function.
    """
    from tladapt.data.catalogue.files import cache_directory

    folder = cache_directory() / "jax" / platform.node()  # a home may be shared by machines with other processors
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
