"""Networks of torchvision and timm with random weights, through a file, against ours: features and logits."""

from __future__ import annotations

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.golden import closeness, inputs, seeded
from tladapt.models import pretrained
from tladapt.models.layers import adaptive_average, max_pool
from tladapt.models.preprocessing import NORMALIZATIONS, normalize
from tladapt.models.weights.catalogue import WEIGHTS

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)
torchvision = pytest.importorskip(
    "torchvision", reason="torchvision is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)
timm = pytest.importorskip(
    "timm", reason="timm is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
VGGS = ("vgg11", "vgg13_bn", "vgg19")  # 530 MB each
DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")


def with_drawn_tensors(module):
    drawn = {key: torch.from_numpy(seeded(key, tuple(value.shape))) for key, value in module.state_dict().items()}
    module.load_state_dict(drawn)
    return module.eval()


def save(module, path):
    if path.suffix == ".pth":
        torch.save(module.state_dict(), path)
    else:
        safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        safetensors.save_file(module.state_dict(), path)


def images(side, seed=0):
    """Return a batch, channels last and first."""
    x = inputs((2, side, side, 3), seed)
    return jnp.asarray(x), torch.from_numpy(x).permute(0, 3, 1, 2)


def compare(name, module, path, features, side=64, **options):
    """Save a module, load it as ours, and compare both on a batch."""
    save(with_drawn_tensors(module), path)
    model = pretrained(name, path, shape=(side, side, 3), **options)
    assert not model.notes
    path.unlink()
    x, x_first = images(side)
    with torch.no_grad():
        assert closeness(model.features(x), features(module, x_first).numpy()) < 1e-4
        assert closeness(model.logits(x), module(x_first).numpy()) < 1e-4
    return model


def before_last(module, x):
    """Return what the last linear layer of a torchvision network reads."""
    kept = {}
    last = [part for part in module.modules() if isinstance(part, torch.nn.Linear)][-1]
    hook = last.register_forward_pre_hook(lambda module, args: kept.update(features=args[0]))
    module(x)
    hook.remove()
    return kept["features"]


def pooled(module, x):
    """Return timm's features."""
    return module.forward_head(module.forward_features(x), pre_logits=True)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_torchvision_network_through_both_formats(suffix, tmp_path):
    module = torchvision.models.resnet18(num_classes=9)
    compare("resnet18", module, tmp_path / f"weights{suffix}", before_last, side=48)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RESNETS[1:], *VGGS, "alexnet", *DENSENETS])
def test_torchvision(name, tmp_path):
    compare(name, getattr(torchvision.models, name)(), tmp_path / "weights.pth", before_last)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RESNETS, "vgg11_bn", "vgg16", *DENSENETS])
def test_timm(name, tmp_path):
    compare(name, timm.create_model(name), tmp_path / "model.safetensors", pooled)


@pytest.mark.slow
def test_inception_v3(tmp_path):
    made = timm.create_model("inception_v3")
    compare("inception_v3", made, tmp_path / "model.safetensors", pooled, side=107)
    # torchvision's transform_input turns ImageNet's normalisation into that of [-1, 1].
    module = torchvision.models.inception_v3(init_weights=False, transform_input=True)
    save(with_drawn_tensors(module), tmp_path / "weights.pth")
    model = pretrained("inception_v3", tmp_path / "weights.pth", shape=(107, 107, 3))
    pictures = np.random.default_rng(0).random((2, 107, 107, 3)).astype(np.float32)
    theirs = torch.from_numpy(np.array(normalize(jnp.asarray(pictures), "imagenet"))).permute(0, 3, 1, 2)
    with torch.no_grad():
        assert closeness(model.logits(model.preprocess(pictures)), module(theirs).numpy()) < 1e-4


@pytest.mark.slow
def test_vgg_and_alexnet_read_images_that_are_larger_and_not_square(tmp_path):
    module = torchvision.models.alexnet(num_classes=5)
    save(with_drawn_tensors(module), tmp_path / "weights.pth")
    model = pretrained("alexnet", tmp_path / "weights.pth")
    x = inputs((1, 290, 333, 3))
    with torch.no_grad():
        theirs = module(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert closeness(model.logits(jnp.asarray(x)), theirs) < 1e-4


def registered(library):
    return [name for name in WEIGHTS if name.startswith(f"{library}/")]


@pytest.mark.parametrize("name", registered("torchvision"))
def test_weights_of_torchvision_are_registered_as_it_states_them(name):
    known = WEIGHTS[name]
    theirs = torchvision.models.get_model_weights(known.backbone)[name.rpartition(".")[2]]
    transforms = theirs.transforms()
    assert known.url == theirs.url and known.url.endswith(f"/{known.file}")
    assert known.sha256 == re.search(r"-([0-9a-f]{8})\.pth$", known.file)[1]
    assert (known.preprocessing.size, known.preprocessing.resize) == (
        transforms.crop_size[0],
        transforms.resize_size[0],
    )
    assert known.preprocessing.interpolation == transforms.interpolation.value
    assert known.classes == len(theirs.meta["categories"])
    if "top-1" in known.source:
        assert f"{theirs.meta['_metrics']['ImageNet-1K']['acc@1']} %" in known.source


@pytest.mark.parametrize("name", registered("timm"))
def test_weights_of_timm_are_registered_as_it_states_them(name):
    known = WEIGHTS[name]
    theirs = timm.models.get_pretrained_cfg(name.removeprefix("timm/"))
    preprocessing, normalization = known.preprocessing, NORMALIZATIONS[known.preprocessing.normalize]
    assert known.hub == theirs.hf_hub_id
    assert known.classes == theirs.num_classes
    assert preprocessing.size == theirs.input_size[1]
    assert preprocessing.resize == math.floor(preprocessing.size / theirs.crop_pct)
    assert preprocessing.interpolation == theirs.interpolation
    assert (normalization.mean, normalization.deviation) == (theirs.mean, theirs.std)
    assert known.licence.lower() == theirs.license


@pytest.mark.parametrize("height, width, window, strides, pad", [(7, 10, 3, 2, 1), (9, 6, 2, 3, 0), (5, 8, 3, 2, 0)])
def test_max_pooling_in_ceil_mode(height, width, window, strides, pad):
    x = inputs((2, height, width, 3))
    theirs = torch.nn.functional.max_pool2d(
        torch.from_numpy(x).permute(0, 3, 1, 2), window, strides, pad, ceil_mode=True
    )
    ours = max_pool(jnp.asarray(x), window, strides=strides, padding=((pad, pad), (pad, pad)), ceil_mode=True)
    np.testing.assert_array_equal(ours, theirs.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("height, width", [(1, 1), (2, 3), (9, 7), (10, 15)])
def test_adaptive_average_and_its_gradient(height, width):
    x = inputs((2, height, width, 3))
    theirs = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
    out = torch.nn.functional.adaptive_avg_pool2d(theirs, 7)
    out.square().sum().backward()
    np.testing.assert_allclose(
        adaptive_average(jnp.asarray(x), 7), out.detach().permute(0, 2, 3, 1).numpy(), rtol=1e-5, atol=1e-6
    )
    gradient = jax.grad(lambda x: jnp.square(adaptive_average(x, 7)).sum())(jnp.asarray(x))
    np.testing.assert_allclose(gradient, theirs.grad.permute(0, 2, 3, 1).numpy(), rtol=1e-5, atol=1e-5)
