"""Reference networks: MobileNetV3 and EfficientNet."""

from __future__ import annotations

from typing import Any

from tests.models.row import Row, called, pooled, timm, torchvision


def averaged(module: Any, x: Any) -> Any:
    """Return torchvision's features: the mean over space, before the classifier."""
    return module.avgpool(module.features(x)).flatten(1)


ROWS: dict[str, Row] = {
    "mobilenetv3_small_100": Row(
        backbone="mobilenetv3_small_100",
        library="timm",
        make=timm("mobilenetv3_small_100", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        stages=("blocks.0.0", "blocks.1.1", "blocks.2.2", "blocks.3.1", "blocks.5.0"),
        gradients={
            "conv_stem.weight": "backbone/conv_stem/kernel",
            "blocks.0.0.se.conv_reduce.weight": "backbone/blocks/0/0/se/conv_reduce/kernel",
            "blocks.2.1.conv_dw.weight": "backbone/blocks/2/1/conv_dw/kernel",
            "conv_head.weight": "backbone/hidden/kernel",
            "classifier.weight": "classifier/kernel",
        },
        statistics={"bn1.running_var": "backbone/bn1/var", "blocks.5.0.bn1.running_mean": "backbone/last/bn1/mean"},
    ),
    "mobilenet_v3_large": Row(
        backbone="mobilenet_v3_large",
        library="torchvision",
        make=torchvision("mobilenet_v3_large", num_classes=7),
        features=averaged,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        gradients={
            "features.0.0.weight": "backbone/conv_stem/kernel",
            "features.4.block.2.fc1.weight": "backbone/blocks/2/0/se/conv_reduce/kernel",
            "features.13.block.1.0.weight": "backbone/blocks/5/0/conv_dw/kernel",
            "classifier.0.weight": "classifier/hidden/kernel",
            "classifier.3.weight": "classifier/kernel",
        },
        statistics={
            "features.0.1.running_var": "backbone/bn1/var",
            "features.16.1.running_mean": "backbone/last/bn1/mean",
        },
    ),
    "tf_mobilenetv3_large_100": Row(
        backbone="tf_mobilenetv3_large_100",
        library="timm",
        make=timm("tf_mobilenetv3_large_100", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        stages=("blocks.0.0", "blocks.3.3", "blocks.6.0"),
        gradients={"blocks.3.1.conv_pwl.weight": "backbone/blocks/3/1/conv_pwl/kernel"},
        statistics={"blocks.6.0.bn1.running_var": "backbone/last/bn1/var"},
    ),
    "efficientnet_lite0": Row(
        backbone="efficientnet_lite0",
        library="timm",
        make=timm("efficientnet_lite0", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        stages=("blocks.0.0", "blocks.3.2", "blocks.6.0"),
        gradients={
            "conv_stem.weight": "backbone/conv_stem/kernel",
            "blocks.3.1.conv_dw.weight": "backbone/blocks/3/1/conv_dw/kernel",
            "classifier.weight": "classifier/kernel",
        },
        statistics={"bn1.running_var": "backbone/bn1/var", "bn2.running_mean": "backbone/bn2/mean"},
    ),
    "efficientnet_b0": Row(
        backbone="efficientnet_b0",
        library="timm",
        make=timm("efficientnet_b0", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        stages=("blocks.0.0", "blocks.2.1", "blocks.6.0"),
        gradients={
            "blocks.2.1.se.conv_expand.weight": "backbone/blocks/2/1/se/conv_expand/kernel",
            "blocks.5.0.conv_dw.weight": "backbone/blocks/5/0/conv_dw/kernel",
        },
        statistics={"blocks.0.0.bn1.running_var": "backbone/blocks/0/0/bn1/var"},
    ),
    "efficientnet_b2_torchvision": Row(
        backbone="efficientnet_b2",
        library="torchvision",
        make=torchvision("efficientnet_b2", num_classes=7, stochastic_depth_prob=0.0),
        features=averaged,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        options={"dropout": 0.3},
        gradients={"features.1.1.block.1.fc1.weight": "backbone/blocks/0/1/se/conv_reduce/kernel"},
        statistics={"features.8.1.running_var": "backbone/bn2/var"},
    ),
    "tf_efficientnet_b3": Row(
        backbone="tf_efficientnet_b3",
        library="timm",
        make=timm("tf_efficientnet_b3", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 75, 75, 3),
        classes=7,
        stages=("blocks.1.2", "blocks.4.4"),
        gradients={"blocks.4.4.conv_pw.weight": "backbone/blocks/4/4/conv_pw/kernel"},
        statistics={"bn2.running_var": "backbone/bn2/var"},
    ),
}
