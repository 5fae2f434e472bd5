"""Reference networks: ResNet."""

from __future__ import annotations

from tests.models.row import Row, called, parts, torchvision


def _row(depth: int, kernel: str, size: int) -> Row:
    return Row(
        backbone=f"resnet{depth}",
        library="torchvision",
        make=torchvision(f"resnet{depth}", num_classes=7),
        features=parts("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"),
        logits=called,
        input=(2, size, size, 3),
        classes=7,
        stages=("maxpool", "layer1.0", "layer2.0", "layer3.1", "layer4.0"),
        gradients={
            "conv1.weight": "backbone/conv1/kernel",
            "layer2.0.downsample.0.weight": "backbone/layer2/0/downsample_conv/kernel",
            f"layer4.1.{kernel}.weight": f"backbone/layer4/1/{kernel}/kernel",
            "fc.weight": "classifier/kernel",
        },
        statistics={"bn1.running_var": "backbone/bn1/var", "layer3.1.bn2.running_mean": "backbone/layer3/1/bn2/mean"},
    )


ROWS: dict[str, Row] = {"resnet18": _row(18, "conv2", 64), "resnet50": _row(50, "conv3", 64)}
