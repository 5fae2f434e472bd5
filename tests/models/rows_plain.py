"""Reference networks: VGG and AlexNet, with narrow fully connected layers, which are a file of 400 MB otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.models.row import Row, called, torchvision

HIDDEN = 48


def narrow(name: str) -> Callable[[], Any]:
    """Return torchvision's network with fully connected layers of `HIDDEN`."""

    def create() -> Any:
        from torch import nn

        module = torchvision(name, num_classes=7)()
        places = [i for i, part in enumerate(module.classifier) if isinstance(part, nn.Linear)]
        widths = (module.classifier[places[0]].in_features, HIDDEN, HIDDEN, 7)
        for i, before, after in zip(places, widths, widths[1:], strict=False):
            module.classifier[i] = nn.Linear(before, after)
        return module

    return create


def features(module: Any, x: Any) -> Any:
    return module.classifier[:6](module.avgpool(module.features(x)).flatten(1))


ROWS: dict[str, Row] = {
    "vgg11_bn": Row(
        backbone="vgg11_bn",
        library="torchvision",
        make=narrow("vgg11_bn"),
        features=features,
        logits=called,
        input=(2, 64, 96, 3),
        classes=7,
        options={"hidden": HIDDEN},
        stages=("features.2", "features.13", "features.28", "avgpool", "classifier.2"),
        gradients={
            "features.0.weight": "backbone/features/0/0/conv/kernel",
            "features.1.weight": "backbone/features/0/0/norm/scale",
            "features.11.weight": "backbone/features/2/1/conv/kernel",
            "classifier.0.weight": "backbone/fc1/linear/kernel",
            "classifier.6.weight": "classifier/kernel",
        },
        statistics={"features.1.running_var": "backbone/features/0/0/norm/var"},
    ),
    "vgg16": Row(
        backbone="vgg16",
        library="torchvision",
        make=narrow("vgg16"),
        features=features,
        logits=called,
        input=(2, 48, 32, 3),
        classes=7,
        options={"hidden": HIDDEN},
        stages=("features.1", "features.15", "features.30", "classifier.2"),
        gradients={"features.0.weight": "backbone/features/0/0/conv/kernel"},
    ),
    "alexnet": Row(
        backbone="alexnet",
        library="torchvision",
        make=narrow("alexnet"),
        features=features,
        logits=called,
        input=(2, 96, 80, 3),
        classes=7,
        options={"hidden": HIDDEN},
        stages=("features.1", "features.5", "features.11", "features.12", "avgpool", "classifier.3"),
        gradients={
            "features.0.weight": "backbone/conv0/conv/kernel",
            "classifier.1.weight": "backbone/fc1/linear/kernel",
            "classifier.6.weight": "classifier/kernel",
        },
    ),
}
