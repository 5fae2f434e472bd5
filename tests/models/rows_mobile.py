"""Reference networks: the MobileNets."""

from __future__ import annotations

from tests.models.row import Row, called, pooled, timm

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
            "conv_stem.weight": "backbone/conv_stem/kernel",
            "blocks.3.1.conv_dw.weight": "backbone/blocks/3/1/conv_dw/kernel",
            "classifier.weight": "classifier/kernel",
        },
        statistics={"bn1.running_var": "backbone/bn1/var", "bn2.running_mean": "backbone/bn2/mean"},
    ),
}
