"""MobileNetV3 and EfficientNet: sizes, precisions, what is dropped in training, where the hidden layer is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from tests.models import counting, golden
from tladapt.errors import UsageError
from tladapt.models import BACKBONES, jit, pretrained
from tladapt.models.backbones import EfficientNet, MobileNetV3
from tladapt.models.backbones.mbconv import Block, InvertedResidual, SqueezeExcite, hard_sigmoid, hard_swish
from tladapt.models.backbones.published import Chain
from tladapt.models.layers import global_average
from tladapt.models.normalization import NormOptions

# sum(p.numel() for p in timm.create_model(name).parameters()), and torchvision.models.get_model(name) for mobilenet_v3
COUNTS = {
    "efficientnet_b0": 5288548,
    "efficientnet_b1": 7794184,
    "efficientnet_b2": 9109994,
    "efficientnet_b3": 12233232,
    "efficientnet_b4": 19341616,
    "efficientnet_lite0": 4652008,
    "tf_efficientnet_b0": 5288548,
    "tf_efficientnet_b1": 7794184,
    "tf_efficientnet_b2": 9109994,
    "tf_efficientnet_b3": 12233232,
    "tf_efficientnet_b4": 19341616,
    "tf_efficientnet_lite0": 4652008,
    "mobilenetv3_small_050": 1593224,
    "mobilenetv3_small_075": 2041872,
    "mobilenetv3_small_100": 2542856,
    "mobilenetv3_large_075": 3993528,
    "mobilenetv3_large_100": 5483032,
    "tf_mobilenetv3_small_100": 2542856,
    "tf_mobilenetv3_large_100": 5483032,
    "mobilenet_v3_small": 2542856,
    "mobilenet_v3_large": 5483032,
}
QUICK = ("efficientnet_b2", "efficientnet_lite0", "mobilenetv3_small_050", "mobilenet_v3_large")
NORM = NormOptions(epsilon=1e-3, momentum=0.9)
BLOCK = Block(widened=24, after=8, size=3, strides=1, squeezed=4, activation=hard_swish)


def residual(block=BLOCK, **options):
    return InvertedResidual(
        8,
        block,
        squeeze_activation=jax.nn.relu,
        gate=hard_sigmoid,
        padding="symmetric",
        norm=NORM,
        rngs=nnx.Rngs(0),
        **options,
    )


def data(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_every_variant_is_counted():
    assert counting.named(MobileNetV3) | counting.named(EfficientNet) == set(COUNTS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in COUNTS]
)
def test_as_many_parameters_as_the_reference(name):
    assert counting.parameters(name) == COUNTS[name]


def test_activations():
    x = jnp.array([-4.0, -3.0, -1.0, 0.0, 1.5, 3.0, 5.0])
    np.testing.assert_allclose(hard_sigmoid(x), [0, 0, 1 / 3, 0.5, 0.75, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(hard_swish(x), [0, 0, -1 / 3, 0, 1.125, 3, 5], rtol=1e-6)


def test_squeeze_and_excitation_by_hand():
    layer = SqueezeExcite(3, 2, activation=jax.nn.relu, gate=jax.nn.sigmoid, rngs=nnx.Rngs(0))
    x = data((2, 4, 5, 3))
    kernels = [np.asarray(part.kernel[...]) for part in (layer.conv_reduce, layer.conv_expand)]
    gates = 1.0 / (1.0 + np.exp(-np.maximum(np.asarray(x).mean((1, 2)) @ kernels[0], 0.0) @ kernels[1]))
    np.testing.assert_allclose(layer(x), np.asarray(x) * gates[:, None, None, :], rtol=1e-5)


def test_drop_path_skips_whole_examples_in_training_only():
    block, x = residual(drop_path=0.5), data((40, 4, 4, 8))
    block.eval()
    run = nnx.jit(lambda block, x: block(x))
    whole = run(block, x) - x
    for part in (block.bn1, block.bn2, block.bn3):  # statistics as they are, so that examples do not depend on others
        part.use_running_average = True
    block.drop_path.deterministic = False
    kept = np.asarray(run(block, x) - x).reshape(40, -1)
    skipped = np.abs(kept).max(1) == 0.0
    assert 5 < skipped.sum() < 35
    np.testing.assert_allclose(kept[~skipped], 2.0 * np.asarray(whole).reshape(40, -1)[~skipped], rtol=1e-3, atol=1e-4)


def test_no_random_state_without_a_rate():
    for module in (residual(), residual(BLOCK._replace(strides=2), drop_path=0.5)):
        assert not jax.tree.leaves(nnx.state(module, nnx.RngState))
    names = ("efficientnet_lite0", "mobilenetv3_small_050")
    heads = [BACKBONES[name]().classifier(4, 2, rngs=nnx.Rngs(0)) for name in names]
    assert not any(jax.tree.leaves(nnx.state(head, nnx.RngState)) for head in heads)
    dropping = EfficientNet(dropout=0.5).classifier(4, 2, rngs=nnx.Rngs(0))
    assert np.abs(dropping(jnp.ones((1, 4))) - dropping(jnp.ones((1, 4)))).max() > 0.0
    with pytest.raises(UsageError, match=r"in \[0, 1\); got 1.5"):
        EfficientNet(drop_path=1.5)


def test_drop_path_grows_with_depth():
    spec = EfficientNet(drop_path=0.16, lite=True)
    network = nnx.eval_shape(lambda: spec.build((32, 32, 3), rngs=nnx.Rngs(0)))
    rates = {name: stage.drop_path and stage.drop_path.rate for name, stage in network.stages() if "blocks" in name}
    assert rates["blocks.0.0"] is None and rates["blocks.1.0"] is None  # they are not added to their inputs
    assert rates["blocks.1.1"] == pytest.approx(0.02) and rates["blocks.5.3"] == pytest.approx(0.14)


class TwoBlocks(Chain):
    """A chain of two blocks: whole networks take minutes to compile with their gradients."""

    def __init__(self, *, remat):
        self.blocks = nnx.List([residual(), residual(BLOCK._replace(after=16, strides=2, squeezed=0))])
        self.out_features, self.remat = 16, remat

    def stages(self):
        yield from ((f"blocks.{i}", block) for i, block in enumerate(self.blocks))
        yield "pool", global_average


def test_bfloat16_features_and_float32_statistics():
    def run(x):
        network = TwoBlocks(remat=False)
        return network(x), nnx.as_pure(nnx.state(network))

    features, state = jax.eval_shape(run, jax.ShapeDtypeStruct((4, 8, 8, 8), jnp.bfloat16))
    assert features.dtype == jnp.bfloat16 and features.shape == (4, 16)
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}


def test_rematerialised_it_computes_the_same():
    found = []
    for remat in (False, True):
        graph, params, rest = nnx.split(TwoBlocks(remat=remat), nnx.Param, ...)

        def loss(params, rest, graph=graph):
            network = nnx.merge(graph, params, rest, copy=True)
            features = network(data((4, 8, 8, 8)))
            return jnp.square(features).sum(), (features, nnx.as_pure(nnx.state(network, nnx.BatchStat)))

        step = jit(jax.value_and_grad(loss, has_aux=True), convolutions=True)
        arguments = nnx.as_pure(params), nnx.as_pure(rest)
        assert ("remat" in str(jax.make_jaxpr(loss)(*arguments))) == remat
        found.append(jax.tree.leaves(step(*arguments)))
    for plain, again in zip(*found, strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-3, atol=1e-5)


def test_the_hidden_layer_goes_where_it_is(tmp_path):
    """torchvision's file in the network that ends before the hidden layer, and in that which ends after it."""
    arrays, about = golden.load("mobilenet_v3_large")
    tensors = {name: golden.seeded(name, tuple(shape)) for name, shape in about["tensors"].items()}
    safetensors.numpy.save_file(tensors, tmp_path / "weights.safetensors")
    before = pretrained("mobilenet_v3_large", tmp_path / "weights.safetensors")
    after = pretrained(MobileNetV3(kind="large", epsilon=1e-3), tmp_path / "weights.safetensors")
    assert not before.notes and not after.notes
    assert before.backbone.stage_names()[-1] == "pool" and after.backbone.stage_names()[-1] == "head"
    features = jnp.asarray(arrays["features"])
    assert before.backbone.out_features == 960 and after.backbone.out_features == 1280
    assert golden.closeness(before.classifier(features), arrays["logits"]) < 1e-4
    assert golden.closeness(after.classifier(hard_swish(after.backbone.hidden(features))), arrays["logits"]) < 1e-4
