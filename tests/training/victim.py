"""A run in a process of its own, which tests kill or starve: `python -m tests.training.victim FOLDER METHOD [...]`."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from typing import Any

import tests.conftest  # noqa: F401  # the settings of the tests' own process: devices, strictness, compile cache
import tladapt
from tests.training import problems
from tladapt.training import Event


def killed_at(operation: int, folder: str) -> None:
    """Kill this process, as `kill -9` would, right before its n-th operation on files in a folder."""
    count = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and folder in str(args[0]):
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("method")
    parser.add_argument("--kill-at-file-operation", type=int, default=0)
    parser.add_argument("--largest-file", type=int, default=0, help="bytes that a file may have")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each line of the log")
    given = parser.parse_args()
    if given.kill_at_file_operation:
        killed_at(given.kill_at_file_operation, given.folder)

    def tell(event: Event) -> None:
        print(event.kind, event.step, event.row.get("text", ""), flush=True)
        if event.kind == "start" and given.largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (given.largest_file, given.largest_file))
        if event.kind == "train":
            time.sleep(given.pause)

    config = problems.methods()[given.method]
    try:
        tladapt.run(config, problems.scenario(), out=given.folder, callbacks=(tell,), resume=True)
    except KeyboardInterrupt as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except tladapt.errors.TladaptError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
