"""Writes golden files: `python tests/models/make_golden.py NAME ...` with the extra `reference` installed.

The networks are listed in `rows_*.py`, one file for each kind.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.models import rows_dense, rows_efficient, rows_mobile, rows_plain, rows_resnet, rows_text, rows_vit
from tests.models.golden import FOLDER, inputs, seeded, summary
from tests.models.row import Row

ROWS: dict[str, Row] = {
    **rows_mobile.ROWS,
    **rows_resnet.ROWS,
    **rows_plain.ROWS,
    **rows_dense.ROWS,
    **rows_text.ROWS,
    **rows_efficient.ROWS,
    **rows_vit.ROWS,
}


def channels_last(value: np.ndarray) -> np.ndarray:
    """Return an activation as ours are laid out."""
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value


def gradient_in_our_layout(value: np.ndarray, path: str) -> np.ndarray:
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.T if value.ndim == 2 and path.endswith("kernel") else value


def make(name: str, row: Row) -> None:
    import torch

    torch.manual_seed(0)
    module = row.make().float()
    tensors = {key: list(value.shape) for key, value in module.state_dict().items()}
    module.load_state_dict({key: torch.from_numpy(seeded(key, tuple(shape))) for key, shape in tensors.items()})
    x = torch.from_numpy(inputs(row.input, pad=row.pad))
    x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x.long()
    arrays: dict[str, np.ndarray] = {}
    kept: dict[str, Any] = {}
    parts = {
        stage: next(part for name, part in module.named_modules() if f".{name}".endswith(f".{stage}"))
        for stage in row.stages
    }
    hooks = [
        parts[stage].register_forward_hook(lambda m, i, o, stage=stage: kept.setdefault(stage, o))
        for stage in row.stages
    ]
    module.eval()
    with torch.no_grad():
        arrays["features"] = row.features(module, x).numpy()
        for stage, value in kept.items():
            value = value[0] if isinstance(value, tuple) else value
            arrays[f"stage/{stage}"] = summary(channels_last(value.numpy()))
        if row.logits is not None:
            arrays["logits"] = row.logits(module, x).numpy()
    for hook in hooks:
        hook.remove()
    module.double()  # in training, float32 is off by up to a hundredth in gradients of early layers
    x = x.double() if x.is_floating_point() else x
    for part in module.modules():  # dropout stays off: its masks are nobody's to compare
        part.train(not isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d)) and "Drop" not in type(part).__name__)
    features = row.features(module, x)
    statistics = {key: value.detach().clone().numpy() for key, value in module.state_dict().items()}
    features.square().mean().backward()
    arrays["train/features"] = features.detach().numpy()
    if row.logits is not None:
        module.load_state_dict({key: torch.from_numpy(seeded(key, tuple(shape))) for key, shape in tensors.items()})
        logits = row.logits(module, x)
        logits.square().mean().backward()  # gradients add up
        arrays["train/logits"] = logits.detach().numpy()
    named = dict(module.named_parameters())
    for key, path in row.gradients.items():
        arrays[f"train/gradient/{path}"] = summary(gradient_in_our_layout(named[key].grad.numpy(), path))
    for key, path in row.statistics.items():
        arrays[f"train/statistics/{path}"] = summary(statistics[key])
    about = {
        "backbone": row.backbone,
        "library": row.library,
        "options": row.options,
        "input": list(row.input),
        "pad": row.pad,
        "classes": row.classes,
        "tensors": tensors,
        "versions": {"torch": torch.__version__},
    }
    FOLDER.mkdir(exist_ok=True)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


if __name__ == "__main__":
    for name in sys.argv[1:] or ROWS:
        make(name, ROWS[name])
        print(name, (FOLDER / f"{name}.npz").stat().st_size, "bytes")
