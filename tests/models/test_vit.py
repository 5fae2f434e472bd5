"""Vision transformers: sizes, position embeddings of other grids, precisions, weights in every library's form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from tests.models import counting, golden
from tladapt.errors import UsageError
from tladapt.models import pretrained
from tladapt.models.backbones import DistilledTransformer, VisionTransformer
from tladapt.models.backbones.positions import cubic_matrix, resized_grid
from tladapt.models.backbones.vit_names import tables
from tladapt.models.pretrained_model import leaves
from tladapt.models.weights.table import Table, fill, linear

# sum(p.numel() for p in timm.create_model(name, num_classes=1000).parameters()), torchvision's vit_b_16 and vit_b_32
COUNTS = {
    "vit_tiny_patch16_224": 5717416,
    "vit_small_patch8_224": 22055272,
    "vit_small_patch16_224": 22050664,
    "vit_small_patch32_224": 22878952,
    "vit_base_patch8_224": 86576872,
    "vit_base_patch16_224": 86567656,
    "vit_base_patch32_224": 88224232,
    "deit_tiny_patch16_224": 5717416,
    "deit_small_patch16_224": 22050664,
    "deit_base_patch16_224": 86567656,
    "deit_tiny_distilled_patch16_224": 5910800,
    "deit_small_distilled_patch16_224": 22436432,
    "deit_base_distilled_patch16_224": 87338192,
    "vit_b_16": 86567656,
    "vit_b_32": 88224232,
    "vit_small_patch14_dinov2": 22441192,
    "vit_base_patch14_dinov2": 87348712,
    "vit_base_patch32_clip_224": 88225000,
    "vit_base_patch32_clip_quickgelu_224": 88225000,
    "vit_base_patch16_clip_224": 86568424,
    "vit_base_patch16_clip_quickgelu_224": 86568424,
    "vit_large_patch14_clip_224": 304204776,
    "vit_large_patch14_clip_quickgelu_224": 304204776,
}
QUICK = ("vit_base_patch32_224", "deit_tiny_distilled_patch16_224", "vit_small_patch14_dinov2")
SMALL = VisionTransformer(patch=8, width=12, depth=2, heads=3, image_size=32, projection=0)


def data(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(scope="module")
def network():
    return counting.drawn(SMALL, (32, 32, 3))


def test_every_variant_is_counted():
    assert counting.named(VisionTransformer) == set(COUNTS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in COUNTS]
)
def test_as_many_parameters_as_the_reference(name):
    assert counting.parameters(name, projection=0) == COUNTS[name]


# torch.nn.functional.interpolate(x, size=(1, new), mode="bicubic", antialias=antialias) of x = [1, -2, 4, 0.5]
@pytest.mark.parametrize(
    ("antialias", "wanted"),
    [
        (False, [0.46527778, 1.046875, 1.10648148]),
        (False, [1.26041667, -1.0625, -1.33854167, 3.390625, 2.8125, 0.19618056]),
        (True, [-0.08466819, 1.01760057, 1.70823799]),
        (True, [1.19736842, -0.76470588, -1.41087963, 3.44560185, 2.5, 0.26973684]),
        (True, [1.0, -2.0, 4.0, 0.5]),
    ],
)
def test_cubic_resizing_is_pytorchs(antialias, wanted):
    matrix = cubic_matrix(4, len(wanted), antialias=antialias)
    np.testing.assert_allclose(matrix @ np.array([1.0, -2.0, 4.0, 0.5]), wanted, rtol=1e-7)


def test_positions_of_another_grid():
    positions = data((9, 2))  # 3 x 3
    assert resized_grid(positions, (3, 3), antialias=True) is positions
    found = np.asarray(resized_grid(positions, (2, 5), antialias=False)).reshape(2, 5, 2)
    rows, columns = cubic_matrix(3, 2, antialias=False), cubic_matrix(3, 5, antialias=False)
    wanted = np.stack([rows @ np.asarray(positions)[:, c].reshape(3, 3) @ columns.T for c in range(2)], axis=-1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_images_of_another_size(network):
    taps = jax.eval_shape(lambda x: network.taps(x, network.stage_names()), jnp.zeros((2, 24, 48, 3)))
    assert network.stage_names() == ("embed", "blocks.0", "blocks.1", "norm", "pool")
    assert taps["blocks.1"].shape == (2, 1 + 3 * 6, 12) and taps["pool"].shape == (2, 12)
    with pytest.raises(UsageError, match=r"patches of 8 x 8 pixels, .* these have 36 x 32 pixels"):
        SMALL.build((36, 32, 3), rngs=nnx.Rngs(0))
    with pytest.raises(UsageError, match="Are the channels first"):
        SMALL.build((3, 32, 32), rngs=nnx.Rngs(0))


def test_bfloat16_and_rematerialisation(network):
    for dtype in (jnp.bfloat16, jnp.float32):
        assert jax.eval_shape(network, jax.ShapeDtypeStruct((2, 32, 32, 3), dtype)).dtype == dtype
    graph, state = nnx.split(network)

    def loss(state, x, remat):
        network = nnx.merge(graph, state, copy=True)
        network.remat = remat
        return jnp.square(network(x)).mean()

    x = data((2, 32, 32, 3))
    step = jax.jit(jax.value_and_grad(loss), static_argnums=2)
    found = [jax.tree.leaves(step(nnx.as_pure(state), x, remat)) for remat in (False, True)]
    assert "remat" in str(jax.make_jaxpr(loss, static_argnums=2)(nnx.as_pure(state), x, True))
    for plain, again in zip(*found, strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-4, atol=1e-7)


def test_logits_of_a_distilled_network_are_the_mean_of_two(tmp_path):
    """Through a file; with another number of classes both classifiers are drawn anew, and the notes say so."""
    _, about = golden.load("deit_tiny_distilled_patch16_224")
    tensors = {name: golden.seeded(name, tuple(shape)) for name, shape in about["tensors"].items()}
    safetensors.numpy.save_file(tensors, tmp_path / "weights.safetensors")
    spec = DistilledTransformer(**about["options"])
    model = pretrained(spec, tmp_path / "weights.safetensors", shape=(48, 48, 3))
    assert not model.notes
    tokens = data((2, 11, 192))
    heads = [(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in ("head", "head_dist")]
    wanted = [np.asarray(tokens[:, i]) @ kernel.T + bias for i, (kernel, bias) in enumerate(heads)]
    np.testing.assert_allclose(model.classifier(tokens), (wanted[0] + wanted[1]) / 2, rtol=1e-4, atol=1e-5)
    other = pretrained(spec, tmp_path / "weights.safetensors", shape=(48, 48, 3), classes=3)
    assert "head.weight" in other.notes[0] and other.classifier.distilled.kernel.shape == (192, 3)


def as_vit_jax(arrays, heads):
    """Return the arrays of a network under the names, and in the shapes, of the authors' own files."""
    tensors = {
        "cls": arrays["class_token"][None, None],
        "Transformer/posembed_input/pos_embedding": arrays["positions"][None],
    }
    for leaf, shape in (("kernel", lambda x: x), ("bias", lambda x: x)):
        tensors[f"embedding/{leaf}"] = shape(arrays[f"patch_embed/{leaf}"])
    for leaf in ("scale", "bias"):
        tensors[f"Transformer/encoder_norm/{leaf}"] = arrays[f"norm/{leaf}"]
    for i in range(2):
        ours, theirs = f"blocks/{i}", f"Transformer/encoderblock_{i}"
        for leaf in ("scale", "bias"):
            tensors[f"{theirs}/LayerNorm_0/{leaf}"] = arrays[f"{ours}/norm1/{leaf}"]
            tensors[f"{theirs}/LayerNorm_2/{leaf}"] = arrays[f"{ours}/norm2/{leaf}"]
        for leaf in ("kernel", "bias"):
            tensors[f"{theirs}/MlpBlock_3/Dense_0/{leaf}"] = arrays[f"{ours}/fc1/{leaf}"]
            tensors[f"{theirs}/MlpBlock_3/Dense_1/{leaf}"] = arrays[f"{ours}/fc2/{leaf}"]
            for part in ("query", "key", "value"):
                value = arrays[f"{ours}/attention/{part}/{leaf}"]
                split = value.reshape(*value.shape[:-1], heads, -1)
                tensors[f"{theirs}/MultiHeadDotProductAttention_1/{part}/{leaf}"] = split
        out = f"{theirs}/MultiHeadDotProductAttention_1/out"
        kernel = arrays[f"{ours}/attention/out/kernel"]
        tensors[f"{out}/kernel"] = kernel.reshape(heads, -1, kernel.shape[-1])
        tensors[f"{out}/bias"] = arrays[f"{ours}/attention/out/bias"]
    return tensors


def test_the_authors_own_files(network):
    arrays = {path: np.asarray(leaf) for path, leaf in leaves(network).items()}
    wanted = {f"backbone/{path}": leaf for path, leaf in arrays.items()}
    filled = fill(as_vit_jax(arrays, 3), wanted, tables(projects=False), called="a file", blocks=("backbone",))
    assert filled.table == "vit_jax" and filled.arrays.keys() == wanted.keys()
    for path, value in filled.arrays.items():
        np.testing.assert_array_equal(value, wanted[path])


def test_a_fused_projection_is_split_in_order():
    table = tables(projects=False)[0]
    names = [path for path, _ in table.places("blocks.3.attn.qkv.weight")]
    assert names == [f"backbone/blocks/3/attention/{part}/kernel" for part in ("query", "key", "value")]
    wanted = {name: np.zeros((2, 2), np.float32) for name in names}
    fused = np.arange(12, dtype=np.float32).reshape(6, 2)
    filled = fill({"blocks.3.attn.qkv.weight": fused}, wanted, (table,), called="a file", blocks=("backbone",))
    np.testing.assert_array_equal(filled.arrays[names[1]], fused[2:4].T)
    with pytest.raises(UsageError) as error:
        fill({"blocks.3.attn.qkv.weight": fused[:5]}, wanted, (table,), called="a file", blocks=("backbone",))
    assert "3 of" in str(error.value)


def test_rules_of_different_patterns_do_not_share_a_tensor():
    table = Table("one", (*linear("a", "first"), *linear("[ab]", "second")))
    assert [path for path, _ in table.places("a.weight")] == ["backbone/first/kernel"]
    assert table.places("c.weight") == []


def test_the_projection_of_clip():
    """timm's head is the projection, and its bias of zeros is dropped; without a projection it is a classifier."""
    inside, outside = tables(projects=True)[0], tables(projects=False)[0]
    assert inside.place("head.weight")[0] == "backbone/projection/kernel" and inside.drops("head.bias")
    assert outside.place("head.weight")[0] == "classifier/kernel" and not outside.drops("head.bias")
    openai = tables(projects=True)[4]
    assert openai.place("visual.proj")[0] == "backbone/projection/kernel"
    assert openai.place("visual.positional_embedding") and not openai.place("positional_embedding")
    assert openai.drops("positional_embedding") and openai.drops("transformer.resblocks.0.ln_1.weight")
