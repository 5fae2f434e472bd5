"""Losses and validators against PyTorch forms, written here from the papers: values, and autograd's gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses
from tladapt.evaluation import ValidationOutputs, effective_rank
from tladapt.evaluation.validators import Entropy, InformationMaximization, SoftNeighborhoodDensity

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)
F = torch.nn.functional

N_S, N_T, D, C = 13, 9, 5, 4
S, T = naive.batch(0, N_S, D), naive.batch(1, N_T, D, 1.4) + 0.5
Z, Z2 = naive.batch(2, N_T, C, 2.5), naive.batch(3, N_T, C, 2.5)
LABELS = np.random.default_rng(4).integers(C, size=N_T)
WEIGHTS = np.random.default_rng(5).random(N_T)
D_S, D_T = naive.batch(6, N_S, 1)[:, 0], naive.batch(7, N_T, 1)[:, 0]
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)


def mk_mmd(s: Any, t: Any, estimator: str = "unbiased") -> Any:
    z = torch.cat([s, t])
    squares = (z[:, None] - z[None]).pow(2).sum(-1)
    bandwidth = squares.detach().sum() / (len(z) ** 2 - len(z))
    kernel = sum(torch.exp(-squares / (m * bandwidth)) for m in MULTIPLES)
    k_ss, k_tt, k_st = kernel[: len(s), : len(s)], kernel[len(s) :, len(s) :], kernel[: len(s), len(s) :]
    if estimator == "linear":
        pairs = range(0, len(s) - 1, 2)
        return torch.stack([k_ss[i, i + 1] + k_tt[i, i + 1] - k_st[i, i + 1] - k_st[i + 1, i] for i in pairs]).mean()
    if estimator == "biased":
        return k_ss.mean() + k_tt.mean() - 2 * k_st.mean()

    def off_diagonal(k: Any) -> Any:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    return off_diagonal(k_ss) + off_diagonal(k_tt) - 2 * k_st.mean()


def coral(s: Any, t: Any) -> Any:
    return torch.linalg.matrix_norm(torch.cov(s.T) - torch.cov(t.T)).pow(2) / (4 * s.shape[1] ** 2)


def domain_adversarial(s: Any, t: Any) -> Any:
    bce = F.binary_cross_entropy_with_logits
    return 0.5 * bce(s, torch.ones_like(s)) + 0.5 * bce(t, torch.zeros_like(t))


def categorical(z: Any) -> Any:
    return torch.distributions.Categorical(logits=z)


def mean_entropy(z: Any) -> Any:
    return categorical(z).entropy().mean()


def diversity(z: Any) -> Any:
    return torch.distributions.Categorical(probs=z.softmax(1).mean(0)).entropy()


def class_balance(z: Any) -> Any:
    mean = z.softmax(1).mean(0)
    return F.binary_cross_entropy(mean, torch.full_like(mean, 1 / len(mean)))


def minimum_class_confusion(z: Any) -> Any:
    q = F.softmax(z / 2.5, dim=1)
    w = (1 + torch.exp(-categorical(z / 2.5).entropy())).detach()
    w = len(q) * w / w.sum()
    m = torch.mm((q * w[:, None]).T, q)
    m = m / m.sum(1, keepdim=True)
    return (m.sum() - m.trace()) / q.shape[1]


def consistency(student: Any, teacher: Any) -> Any:
    q = teacher.detach().softmax(1)
    mask = (q.max(1).values > 0.6).double()
    return (mask * F.mse_loss(student.softmax(1), q, reduction="none").mean(1)).mean()


def pseudo_label(z: Any) -> Any:
    confidence, label = z.detach().softmax(1).max(1)
    return ((confidence > 0.6) * F.cross_entropy(z, label, reduction="none")).mean()


def labels(xp: Any) -> Any:
    return torch.tensor(LABELS) if xp is torch else jnp.asarray(LABELS)


CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "mk_mmd": (losses.mk_mmd, mk_mmd, (S, T)),
    "mk_mmd/biased": (
        functools.partial(losses.mk_mmd, estimator="biased"),
        functools.partial(mk_mmd, estimator="biased"),
        (S, T),
    ),
    "mk_mmd/linear": (
        functools.partial(losses.mk_mmd, estimator="linear"),
        functools.partial(mk_mmd, estimator="linear"),
        (S[:N_T], T),
    ),
    "coral": (losses.coral, coral, (S, T)),
    "domain_adversarial": (losses.domain_adversarial, domain_adversarial, (D_S, D_T)),
    "domain_adversarial/weights": (
        lambda s, t: losses.domain_adversarial(s, t, target_weights=jnp.asarray(WEIGHTS)),
        lambda s, t: (
            0.5 * F.binary_cross_entropy_with_logits(s, torch.ones_like(s))
            + 0.5
            * F.binary_cross_entropy_with_logits(
                t, torch.zeros_like(t), weight=torch.tensor(WEIGHTS / WEIGHTS.sum()), reduction="sum"
            )
        ),
        (D_S, D_T),
    ),
    "cross_entropy": (
        lambda z: losses.cross_entropy(z, labels(jnp)),
        lambda z: F.cross_entropy(z, labels(torch)),
        (Z,),
    ),
    "cross_entropy/smoothing": (
        lambda z: losses.cross_entropy(z, labels(jnp), smoothing=0.1),
        lambda z: F.cross_entropy(z, labels(torch), label_smoothing=0.1),
        (Z,),
    ),
    "cross_entropy/weights": (
        lambda z: losses.cross_entropy(z, labels(jnp), weights=jnp.asarray(WEIGHTS)),
        lambda z: (F.cross_entropy(z, labels(torch), reduction="none") * torch.tensor(WEIGHTS)).sum() / WEIGHTS.sum(),
        (Z,),
    ),
    "entropy": (losses.entropy, mean_entropy, (Z,)),
    "diversity": (losses.diversity, diversity, (Z,)),
    "information_maximization": (losses.information_maximization, lambda z: mean_entropy(z) - diversity(z), (Z,)),
    "certainty_weights": (
        lambda z: jnp.sum(losses.certainty_weights(z, detach=False) ** 2),
        lambda z: (1 + torch.exp(-categorical(z).entropy())).pow(2).sum(),
        (Z,),
    ),
    "class_balance": (losses.class_balance, class_balance, (Z,)),
    "minimum_class_confusion": (losses.minimum_class_confusion, minimum_class_confusion, (Z,)),
    "classifier_discrepancy": (
        losses.classifier_discrepancy,
        lambda a, b: F.l1_loss(a.softmax(1), b.softmax(1)),
        (Z, Z2),
    ),
    "consistency": (functools.partial(losses.consistency, confidence=0.6), consistency, (Z, Z2)),
    "pseudo_label": (functools.partial(losses.pseudo_label, threshold=0.6), pseudo_label, (Z,)),
    "conditional_map": (
        lambda f, z: jnp.sum(losses.conditional_map(f, jax.nn.softmax(z)) ** 3),
        lambda f, z: torch.bmm(z.softmax(1).detach()[:, :, None], f[:, None, :]).flatten(1).pow(3).sum(),
        (T, Z),
    ),
    "conditional_product": (
        lambda f, z, w: jnp.sum(losses.conditional_product(f, jax.nn.softmax(z), w) ** 3),
        lambda f, z, w: F.bilinear(z.softmax(1).detach(), f, w.permute(2, 0, 1)).pow(3).sum(),
        (T, Z, naive.batch(8, C * D, 3).reshape(C, D, 3)),
    ),
    "random_conditional_map": (
        lambda f, z, r, q: jnp.sum(losses.random_conditional_map(f, jax.nn.softmax(z), r, q) ** 3),
        lambda f, z, r, q: (f @ r.detach() * (z.softmax(1).detach() @ q.detach()) / math.sqrt(6)).pow(3).sum(),
        (T, Z, naive.batch(9, D, 6), naive.batch(10, C, 6)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name: str) -> None:
    ours, theirs, arrays = CASES[name]
    with jax.enable_x64(True):
        argnums = tuple(range(len(arrays)))
        value, gradients = jax.jit(jax.value_and_grad(ours, argnums=argnums))(*map(jnp.asarray, arrays))
        assert value.dtype == jnp.float64
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = theirs(*tensors)
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), rel=1e-10)
    for ours_, tensor in zip(gradients, tensors, strict=True):
        wanted = np.zeros_like(ours_) if tensor.grad is None else tensor.grad.numpy()  # None: detached there
        np.testing.assert_allclose(ours_, wanted, rtol=1e-8, atol=1e-12)
    assert any(np.any(np.asarray(gradient) != 0) for gradient in gradients)


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, coefficient: float) -> Any:
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return -ctx.coefficient * gradient, None


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 1.0])
def test_gradients_of_a_whole_dann_step(coefficient: float) -> None:
    """Encoder, classifier and discriminator, with the reversal in between, as one loss."""
    encoder, classifier, discriminator = naive.batch(11, D, 6), naive.batch(12, 6, C), naive.batch(13, 6, 1)
    y = np.random.default_rng(1).integers(C, size=N_S)

    def ours(w: Any, g: Any, d: Any) -> Any:
        f_s, f_t = jnp.tanh(jnp.asarray(S) @ w), jnp.tanh(jnp.asarray(T) @ w)
        z_s, z_t = (losses.gradient_reversal(f, coefficient) @ d for f in (f_s, f_t))
        return losses.cross_entropy(f_s @ g, jnp.asarray(y)) + losses.domain_adversarial(z_s, z_t)

    with jax.enable_x64(True):
        parameters = (encoder, classifier, discriminator)
        value, gradients = jax.jit(jax.value_and_grad(ours, argnums=(0, 1, 2)))(*map(jnp.asarray, parameters))
    w, g, d = (torch.tensor(array, requires_grad=True) for array in parameters)
    f_s, f_t = torch.tanh(torch.tensor(S) @ w), torch.tanh(torch.tensor(T) @ w)
    z_s, z_t = (Reversal.apply(f, coefficient) @ d for f in (f_s, f_t))
    expected = F.cross_entropy(f_s @ g, torch.tensor(y)) + domain_adversarial(z_s, z_t)
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), rel=1e-10)
    for ours_, tensor in zip(gradients, (w, g, d), strict=True):
        np.testing.assert_allclose(ours_, tensor.grad.numpy(), rtol=1e-8, atol=1e-12)


def outputs(logits: np.ndarray) -> ValidationOutputs:
    return ValidationOutputs(logits, logits, LABELS, logits, logits)


def test_validators() -> None:
    z = torch.tensor(Z)
    assert Entropy().score(outputs(Z)) == pytest.approx(-mean_entropy(z).item(), rel=1e-10)
    im = diversity(z) - mean_entropy(z)
    assert InformationMaximization().score(outputs(Z)) == pytest.approx(im.item(), rel=1e-10)
    unit = F.normalize(z.softmax(1))
    similarity = (unit @ unit.T / 0.05).masked_fill(torch.eye(N_T, dtype=torch.bool), -torch.inf)
    snd = torch.special.entr(similarity.softmax(1)).sum(1).mean()
    assert SoftNeighborhoodDensity().score(outputs(Z)) == pytest.approx(snd.item(), rel=1e-10)


def test_effective_rank_of_the_guard() -> None:
    singular = torch.linalg.svdvals(torch.tensor(S - S.mean(0)))
    expected = torch.distributions.Categorical(probs=singular / singular.sum()).entropy().exp()
    assert effective_rank(S) == pytest.approx(expected.item(), rel=1e-8)
