"""MobileNetV3, EfficientNet and vision transformers against timm, torchvision and transformers, live."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from tests.models import golden
from tests.models.test_mbconv import COUNTS as MBCONV
from tests.models.test_vit import COUNTS as VIT
from tests.models.test_vit import as_vit_jax
from tladapt.models import BACKBONES, PretrainedModel, pretrained
from tladapt.models.backbones import DistilledTransformer, Published, VisionTransformer
from tladapt.models.backbones.positions import resized_grid
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.pretrained_model import leaves
from tladapt.models.weights.table import fill

REASON = "the reference libraries are not installed: pip install 'tladapt[reference]'"
torch = pytest.importorskip("torch", reason=REASON, exc_type=ImportError)
timm = pytest.importorskip("timm", reason=REASON, exc_type=ImportError)
torchvision = pytest.importorskip("torchvision", reason=REASON, exc_type=ImportError)
transformers = pytest.importorskip("transformers", reason=REASON, exc_type=ImportError)

NAMES = sorted([*MBCONV, *VIT])


def is_torchvisions(name: str) -> bool:
    return name.startswith(("mobilenet_v3", "vit_b_"))


def made(name: str, **options: Any) -> Any:
    if is_torchvisions(name):
        return torchvision.models.get_model(name, **options)
    return timm.create_model(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_every_variant_has_its_place(name: str) -> None:
    """Names and shapes alone: neither library draws a parameter."""
    with torch.device("meta"):
        module = made(name, num_classes=11)
    tensors = {
        key: np.broadcast_to(np.zeros((), np.float32), tuple(value.shape)) for key, value in module.state_dict().items()
    }
    spec: Any = BACKBONES[name](**({"projection": 0} if "clip" in name else {}))

    def build() -> PretrainedModel:
        network = spec.build((spec.size, spec.size, 3), rngs=nnx.Rngs(0))
        head = spec.classifier(network.out_features, 11, rngs=nnx.Rngs(0))
        return PretrainedModel(spec, network, head, Preprocessing())

    filled = fill(tensors, leaves(nnx.eval_shape(build)), spec.tables(), called=name)
    assert not filled.notes and all("num_batches_tracked" in each for each in filled.dropped)


def seeded(module: Any) -> dict[str, np.ndarray]:
    """Give a module the tensors of its names, and return them."""
    tensors = {key: golden.seeded(key, tuple(value.shape)) for key, value in module.state_dict().items()}
    module.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
    module.eval()
    return tensors


def compare(
    spec: Published, path: Any, side: int, features: Any, logits: Any = None, shape: tuple[int, int] | None = None
) -> None:
    """Compare features and logits of weights in a file with those of functions of a torch batch."""
    model = pretrained(spec, path, shape=(side, side, 3))
    assert not model.notes
    x = golden.inputs((2, *(shape or (side, side)), 3))
    batch = torch.from_numpy(x).permute(0, 3, 1, 2)
    graph, state = nnx.split(model)

    def run(state: Any, x: jax.Array) -> Any:
        model = nnx.merge(graph, state, copy=True)
        return model(x) if logits is not None else model.features(x)

    found = jax.jit(run)(nnx.as_pure(state), jnp.asarray(x))
    with torch.no_grad():
        if logits is None:
            assert golden.closeness(found, features(batch).numpy()) < 1e-4
        else:
            assert golden.closeness(found.features, features(batch).numpy()) < 1e-4
            assert golden.closeness(found.logits, logits(batch).numpy()) < 1e-4


LIVE = [*(name for name in MBCONV), "torchvision:efficientnet_b0", "torchvision:efficientnet_b3"]


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_of_either_kind(kind: str, tmp_path: Any) -> None:
    module = timm.create_model("mobilenetv3_small_050", num_classes=5)
    tensors = seeded(module)
    path = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        safetensors.numpy.save_file(tensors, path)
    else:
        torch.save(module.state_dict(), path)
    spec = BACKBONES["mobilenetv3_small_050"]()
    assert isinstance(spec, Published)
    compare(spec, path, 64, lambda x: module.forward_head(module.forward_features(x), pre_logits=True), module)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVE)
def test_convolutional_networks(name: str, tmp_path: Any) -> None:
    theirs = name.startswith(("torchvision:", "mobilenet_v3"))
    backbone = name.removeprefix("torchvision:")
    module = (torchvision.models.get_model if theirs else timm.create_model)(backbone, num_classes=5)
    safetensors.numpy.save_file(seeded(module), tmp_path / "weights.safetensors")

    def features(x: Any) -> Any:
        if theirs:
            return module.avgpool(module.features(x)).flatten(1)
        return module.forward_head(module.forward_features(x), pre_logits=True)

    spec = BACKBONES[backbone]()
    assert isinstance(spec, Published)
    compare(spec, tmp_path / "weights.safetensors", 72, features, module)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in VIT if "clip" not in name and not is_torchvisions(name)])
def test_transformers_at_their_own_size(name: str, tmp_path: Any) -> None:
    """Two blocks of each: the position embeddings are those of the published size."""
    module = timm.create_model(name, num_classes=5, depth=2)
    safetensors.numpy.save_file(seeded(module), tmp_path / "weights.safetensors")
    spec = BACKBONES[name](depth=2)
    assert isinstance(spec, VisionTransformer)
    compare(
        spec,
        tmp_path / "weights.safetensors",
        spec.size,
        lambda x: module.forward_head(module.forward_features(x), pre_logits=True),
        module,
    )


SMALL = {"width": 24, "depth": 2, "heads": 3, "patch": 8, "image_size": 32}


def small_vit(base: type[VisionTransformer] = VisionTransformer, **options: Any) -> VisionTransformer:
    return base(**{**SMALL, **options})


def hf_config(kind: Any, **options: Any) -> Any:
    return kind(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=32,
        patch_size=8,
        num_labels=5,
        **{"layer_norm_eps": 1e-6, **options},
    )


def test_vit_of_transformers_at_another_size(tmp_path: Any) -> None:
    module = transformers.ViTForImageClassification(hf_config(transformers.ViTConfig))
    safetensors.numpy.save_file(seeded(module), tmp_path / "weights.safetensors")

    def features(x: Any) -> Any:
        return module.vit(x, interpolate_pos_encoding=True).last_hidden_state[:, 0]

    def logits(x: Any) -> Any:
        return module(x, interpolate_pos_encoding=True).logits

    compare(small_vit(antialias=False), tmp_path / "weights.safetensors", 32, features, logits, shape=(24, 56))


def test_vit_of_timm_at_another_size(tmp_path: Any) -> None:
    module = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0, dynamic_img_size=True
    )
    safetensors.numpy.save_file(seeded(module), tmp_path / "weights.safetensors")
    compare(small_vit(), tmp_path / "weights.safetensors", 32, module, shape=(24, 56))
    positions = np.random.default_rng(0).normal(size=(36, 5)).astype(np.float32)
    wanted = timm.layers.resample_abs_pos_embed(torch.from_numpy(positions)[None], [4, 11], num_prefix_tokens=0)[0]
    assert golden.closeness(resized_grid(jnp.asarray(positions), (4, 11), antialias=True), wanted) < 1e-6


def test_names_of_older_versions_of_transformers(tmp_path: Any) -> None:
    """Files at the hub keep the names of version 4."""
    module = transformers.DeiTForImageClassificationWithTeacher(hf_config(transformers.DeiTConfig))
    older = {
        "deit.layers.": "deit.encoder.layer.",
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }

    def renamed(name: str) -> str:
        for new, old in older.items():
            name = name.replace(new, old)
        return name

    tensors = {renamed(name): tensor for name, tensor in seeded(module).items()}
    safetensors.numpy.save_file(tensors, tmp_path / "weights.safetensors")

    def features(x: Any) -> Any:
        return module.deit(x).last_hidden_state[:, :2].mean(1)

    spec = small_vit(DistilledTransformer)
    compare(spec, tmp_path / "weights.safetensors", 32, features, lambda x: module(x).logits)


def test_dinov2_of_transformers(tmp_path: Any) -> None:
    module = transformers.Dinov2Model(hf_config(transformers.Dinov2Config))
    safetensors.numpy.save_file(seeded(module), tmp_path / "weights.safetensors")
    spec = small_vit(layer_scale=True)
    compare(spec, tmp_path / "weights.safetensors", 32, lambda x: module(x).last_hidden_state[:, 0])


def test_vit_of_torchvision(tmp_path: Any) -> None:
    module = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=96, num_classes=5
    )
    safetensors.numpy.save_file(seeded(module), tmp_path / "weights.safetensors")

    def features(x: Any) -> Any:
        patches = module._process_input(x)
        return module.encoder(torch.cat([module.class_token.expand(len(x), -1, -1), patches], 1))[:, 0]

    compare(small_vit(), tmp_path / "weights.safetensors", 32, features, module)


def test_the_authors_own_files_as_timm_reads_them(tmp_path: Any) -> None:
    module = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=5
    )
    spec = small_vit()
    shapes = leaves(nnx.eval_shape(lambda: spec.build((32, 32, 3), rngs=nnx.Rngs(0))))
    arrays = {path: golden.seeded(path, tuple(leaf.shape)) for path, leaf in shapes.items()}
    tensors = as_vit_jax(arrays, 3)
    tensors |= {"head/kernel": golden.seeded("head", (24, 5)), "head/bias": golden.seeded("bias", (5,))}
    np.savez(tmp_path / "weights.npz", **tensors)
    module.load_pretrained(str(tmp_path / "weights.npz"))
    module.eval()
    compare(
        spec,
        tmp_path / "weights.npz",
        32,
        lambda x: module.forward_head(module.forward_features(x), pre_logits=True),
        module,
    )


def test_clip_as_openai_names_it(tmp_path: Any) -> None:
    """A whole file of CLIP, the text tower in it, as timm converts it and as we read it."""
    width, patch = 48, 8
    module = timm.create_model(
        "vit_base_patch32_clip_quickgelu_224",
        img_size=32,
        patch_size=patch,
        embed_dim=width,
        depth=2,
        num_heads=4,
        num_classes=20,
    )
    block = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (17, width),
        "visual.proj": (width, 20),
        "visual.conv1.weight": (width, 3, patch, patch),
        **{f"visual.{norm}.{leaf}": (width,) for norm in ("ln_pre", "ln_post") for leaf in ("weight", "bias")},
        **{f"visual.transformer.resblocks.{i}.{leaf}": shape for i in range(2) for leaf, shape in block.items()},
        "positional_embedding": (7, 6),
        "text_projection": (6, 20),
        "logit_scale": (1,),
        "token_embedding.weight": (9, 6),
        "ln_final.weight": (6,),
        "ln_final.bias": (6,),
        "transformer.resblocks.0.ln_1.weight": (6,),
    }
    tensors = {name: golden.seeded(name, shape) for name, shape in shapes.items()}
    converted = timm.models.vision_transformer.checkpoint_filter_fn(
        {name: torch.from_numpy(value) for name, value in tensors.items()}, module
    )
    module.load_state_dict(converted)
    module.eval()
    assert not module.head.bias.any()
    safetensors.numpy.save_file(tensors, tmp_path / "openai.safetensors")
    torch.save(module.state_dict(), tmp_path / "timm.pth")
    spec = BACKBONES["vit_base_patch32_clip_quickgelu_224"](
        width=width, heads=4, depth=2, patch=patch, image_size=32, projection=20
    )
    assert isinstance(spec, VisionTransformer)
    for file in ("openai.safetensors", "timm.pth"):
        compare(spec, tmp_path / file, 32, module)
