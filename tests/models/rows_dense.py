"""Reference networks: DenseNet and Inception-v3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.models.row import Row, called, parts, torchvision


def densenet(module: Any, x: Any) -> Any:
    return module.features(x).relu().mean((2, 3))


inception = parts(
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "avgpool"),
)


def small() -> Any:
    """Return a DenseNet in which one block has more than ten layers: names do not sort as numbers do."""
    from torchvision.models import DenseNet

    return DenseNet(growth_rate=8, block_config=(2, 11, 1, 2), num_init_features=16, num_classes=7)


def row(make: Callable[[], Any], **options: Any) -> Row:
    return Row(
        backbone="densenet121",
        library="torchvision",
        make=make,
        features=densenet,
        logits=called,
        input=(2, 72, 64, 3),
        classes=7,
        options=options,
        stages=("features.pool0", "features.denseblock1", "features.transition1", "features.transition3"),
        gradients={
            "features.conv0.weight": "backbone/stem/conv/kernel",
            "features.denseblock2.denselayer3.conv2.weight": "backbone/denseblock2/layers/denselayer3/conv2/kernel",
            "features.transition1.conv.weight": "backbone/transition1/conv/kernel",
            "classifier.weight": "classifier/kernel",
        },
        statistics={
            "features.norm0.running_var": "backbone/stem/norm/var",
            "features.denseblock2.denselayer11.norm1.running_mean": (
                "backbone/denseblock2/layers/denselayer11/norm1/mean"
            ),
        },
    )


ROWS: dict[str, Row] = {
    "densenet_small": row(small, layers=(2, 11, 1, 2), growth=8, stem=16),
    "densenet121": row(torchvision("densenet121", num_classes=7)),
    "inception_v3": Row(
        backbone="inception_v3",
        library="torchvision",
        make=torchvision("inception_v3", num_classes=7, init_weights=False),
        features=inception,
        logits=lambda module, x: module.fc(module.dropout(inception(module, x))),  # the auxiliary head needs 299 pixels
        input=(2, 75, 107, 3),
        classes=7,
        stages=("Conv2d_2b_3x3", "maxpool2", "Mixed_5b", "Mixed_6a", "Mixed_6b", "Mixed_7a", "Mixed_7b"),
        gradients={
            "Conv2d_1a_3x3.conv.weight": "backbone/Conv2d_1a_3x3/conv/kernel",
            "Mixed_6c.branch7x7_2.conv.weight": "backbone/Mixed_6c/units/branch7x7_2/conv/kernel",
            "Mixed_7b.branch3x3dbl_3b.conv.weight": "backbone/Mixed_7b/units/branch3x3dbl_3b/conv/kernel",
            "fc.weight": "classifier/kernel",
        },
        statistics={
            "Conv2d_1a_3x3.bn.running_var": "backbone/Conv2d_1a_3x3/bn/var",
            "Mixed_7a.branch3x3_2.bn.running_mean": "backbone/Mixed_7a/units/branch3x3_2/bn/mean",
        },
    ),
}
