"""Writes names and shapes of the tensors of reference networks: `python tests/models/make_names.py`.

It needs the extra `reference`. Nothing is drawn: the networks are made without memory for their tensors.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import sys
import warnings
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.models import row

FOLDER = pathlib.Path(__file__).with_name("names")
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
VGGS = tuple(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn"))
DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "convolutional": {
        "torchvision": (*RESNETS, *VGGS, "alexnet", *DENSENETS, "inception_v3"),
        "timm": (*RESNETS, *VGGS, *DENSENETS, "inception_v3"),
    },
}


def networks(group: dict[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    import torch

    found: list[dict[str, Any]] = []
    for library, names in group.items():
        for name in names:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = getattr(row, library)(name)()
            tensors = {key: list(value.shape) for key, value in module.state_dict().items()}
            same = [each for each in found if each["backbone"] == name and each["tensors"] == tensors]
            if same:
                same[0]["library"] += f"-{library}"
            else:
                found.append({"library": library, "backbone": name, "tensors": tensors})
            print(library, name, f"{sum(each.numel() for each in module.parameters()):,} parameters")
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, group in GROUPS.items():
        text = json.dumps(networks(group))
        (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
