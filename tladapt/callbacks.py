"""Watchers of a run: functions of an `Event`, given to `tladapt.run(..., callbacks=[...])`.

A callback is any function of one argument. It sees what the run logs, and can change none of its numbers. For
Weights & Biases, with the metrics named as in `metrics.jsonl`:

    import wandb

    wandb.init(project="adaptation")

    def log(event):
        if event.kind in ("train", "eval"):
            wandb.log({k: v for k, v in event.row.items() if isinstance(v, float)}, step=event.step)

    tladapt.run(config, scenario, callbacks=[log])

For MLflow the middle line is `mlflow.log_metrics({...}, step=event.step)`, after `mlflow.start_run()`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tladapt.errors import MissingPackageError
from tladapt.training.watching import Event

__all__ = ["Event", "tensorboard"]


def tensorboard(folder: str | os.PathLike[str]) -> Callable[[Event], None]:
    """Write what a run logs as TensorBoard's event files: one curve a number, under its name in `metrics.jsonl`.

    A run that is resumed goes on in the same folder; points of steps that are done again are dropped. Look at it with
    `tensorboard --logdir FOLDER`.

    Args:
      folder: where the files go, into a folder for each seed ("seed0" and so on); made with the first event.

    Returns:
      A callback for `tladapt.run(..., callbacks=[...])`; a new one for each run.

    Raises:
      MissingPackageError: where tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingPackageError(
            'TensorBoard files are written by tensorboardX, which is not installed: pip install "tladapt[tensorboard]".'
        ) from error
    writers: dict[int, Any] = {}

    def callback(event: Event) -> None:
        if event.seed not in writers:
            purged = event.step + 1 if event.row.get("resumed") else None
            writers[event.seed] = SummaryWriter(str(Path(folder) / f"seed{event.seed}"), purge_step=purged)
        writer = writers[event.seed]
        numbers = {
            name: value
            for name, value in event.row.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step"
        }
        if event.kind in ("train", "eval"):
            for name, value in numbers.items():
                writer.add_scalar(name, value, event.step)
        elif event.kind == "end":  # what stands once in summary.json: the chosen step's accuracy, calibration ...
            for name, value in numbers.items():
                writer.add_scalar(f"end/{name}", value, event.step)
        elif event.kind == "note":
            writer.add_text("note", event.row["text"], event.step)
        if event.kind == "eval":
            writer.flush()
        elif event.kind == "end":
            writers.pop(event.seed).close()

    return callback
