"""Reference networks: ResNet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.models.row import Row, called, parts, torchvision


def bottlenecks() -> Any:
    from torchvision.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, [1, 2, 1, 1], num_classes=7)


def row(backbone: str, make: Callable[[], Any], last: str, **options: Any) -> Row:
    return Row(
        backbone=backbone,
        library="torchvision",
        make=make,
        features=parts("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"),
        logits=called,
        input=(2, 64, 48, 3),
        classes=7,
        options=options,
        stages=("relu", "maxpool", "layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer4.0"),
        gradients={
            "conv1.weight": "backbone/stem/conv/kernel",
            "layer2.0.downsample.0.weight": "backbone/layer2/0/downsample_conv/kernel",
            f"layer4.0.{last}.weight": f"backbone/layer4/0/{last}/kernel",
            "fc.weight": "classifier/kernel",
        },
        statistics={
            "bn1.running_var": "backbone/stem/norm/var",
            "layer2.1.bn2.running_mean": "backbone/layer2/1/bn2/mean",
        },
    )


ROWS: dict[str, Row] = {
    "resnet18": row("resnet18", torchvision("resnet18", num_classes=7), "conv2"),
    "resnet_bottlenecks": row("resnet50", bottlenecks, "conv3", blocks=(1, 2, 1, 1)),
    "resnet50": row("resnet50", torchvision("resnet50", num_classes=7), "conv3"),
}
