"""The CIFAR ResNets with their published weights classify the test pictures of CIFAR-10, saved as JPEG."""

from __future__ import annotations

import io
import os
import pathlib
import tarfile

import jax
import numpy as np
import pytest

from tladapt.models import pretrained

WEIGHTS = pathlib.Path(os.environ.get("TLADAPT_WEIGHTS", ""))
PICTURES = pathlib.Path(os.environ.get("TLADAPT_DATA", "")) / "cifar10_jpeg" / "cifar10_jpeg_test.tar.gz"


@pytest.fixture(scope="module")
def pictures():
    if not PICTURES.is_file():
        pytest.skip("needs cifar10_jpeg/cifar10_jpeg_test.tar.gz (10,000 test pictures): set TLADAPT_DATA")
    from PIL import Image

    with tarfile.open(PICTURES) as archive:
        members = sorted((member for member in archive if member.isfile()), key=lambda member: member.name)
        x = np.stack(
            [
                np.asarray(Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB"))
                for member in members
            ]
        )
    names = [member.name.split("/")[-2] for member in members]
    return x, np.unique(names, return_inverse=True)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone, file, percent",  # measured with PyTorch on the same pictures
    [("cifar_resnet20", "resnet20-12fca82f.th", 81.03), ("cifar_resnet56", "resnet56-4bfd9763.th", 83.20)],
)
def test_accuracy(pictures, backbone, file, percent):
    if not (WEIGHTS / file).is_file():
        pytest.skip(f"needs the weights {file}: set TLADAPT_WEIGHTS")
    x, y = pictures
    assert x.shape == (10_000, 32, 32, 3)
    model = pretrained(backbone, WEIGHTS / file)
    logits = jax.jit(lambda model, x: model.logits(x))
    found = [np.argmax(logits(model, model.preprocess(x[at : at + 500])), 1) for at in range(0, len(x), 500)]
    assert 100 * np.mean(np.concatenate(found) == y) == pytest.approx(percent, abs=0.03)
