"""Reference networks: the MobileNets."""

from __future__ import annotations

from tests.models.row import Row, called, pooled, timm, torchvision

ROWS: dict[str, Row] = {
    "mobilenetv2_050": Row(
        backbone="mobilenetv2_050",
        library="timm",
        make=timm("mobilenetv2_050", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        stages=("blocks.0.0", "blocks.2.1", "blocks.6.0"),
        gradients={
            "conv_stem.weight": "backbone/stem/conv/kernel",
            "blocks.3.1.conv_dw.weight": "backbone/blocks/3/1/conv_dw/kernel",
            "classifier.weight": "classifier/kernel",
        },
        statistics={"bn1.running_var": "backbone/stem/bn/var", "bn2.running_mean": "backbone/head/bn/mean"},
    ),
    "mobilenetv1_100": Row(
        backbone="mobilenetv1_100",
        library="timm",
        make=timm("mobilenetv1_100", num_classes=7),
        features=pooled,
        logits=called,
        input=(2, 64, 64, 3),
        classes=7,
        options={"padding": "symmetric", "epsilon": 1e-5, "momentum": 0.9, "unbiased": True},
        gradients={
            "conv_stem.weight": "backbone/conv1/conv/kernel",
            "blocks.3.1.conv_dw.weight": "backbone/conv_dw/6/conv/kernel",
            "classifier.bias": "classifier/bias",
        },
        statistics={
            "bn1.running_var": "backbone/conv1/bn/var",
            "blocks.4.1.bn2.running_mean": "backbone/conv_pw/12/bn/mean",
        },
    ),
    "squeezenet1_0": Row(
        backbone="squeezenet1_0",
        library="torchvision",
        make=torchvision("squeezenet1_0", num_classes=7),
        features=lambda module, x: module.features(x).mean((2, 3)),
        logits=called,
        input=(2, 65, 70, 3),
        classes=7,
        stages=("features.2", "features.6", "features.9", "features.12"),
        gradients={
            "features.0.weight": "backbone/parts/0/kernel",
            "features.12.expand3x3.weight": "backbone/parts/12/expand3x3/kernel",
            "classifier.1.weight": "classifier/conv/kernel",
        },
    ),
}
