"""What stands beside the losses (maps, masks, weights, an accuracy) equals its naive form in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

F, Z = naive.batch(0, 7, 3), naive.batch(1, 7, 4, 3.0)
P = np.array([naive.softmax(row) for row in Z])
KERNEL, R_F, R_G = naive.batch(2, 12, 5).reshape(4, 3, 5), naive.batch(3, 3, 6), naive.batch(4, 4, 6)
S, T = np.array([2.0, -1.0, 0.0, 0.3, -0.2]), np.array([-3.0, 0.0, 1.0])

CASES = {
    "certainty_weights": (losses.certainty_weights, naive.certainty_weights, (Z,)),
    "confidence_mask": (
        lambda z: losses.confidence_mask(z, threshold=0.8),
        lambda z: naive.confidence_mask(z, 0.8),
        (Z,),
    ),
    "conditional_map": (losses.conditional_map, naive.conditional_map, (F, P)),
    "conditional_product": (losses.conditional_product, naive.conditional_product, (F, P, KERNEL)),
    "random_conditional_map": (losses.random_conditional_map, naive.random_conditional_map, (F, P, R_F, R_G)),
    "domain_accuracy": (losses.domain_accuracy, naive.domain_accuracy, (S, T)),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_naive_form_in_float64(name: str) -> None:
    fn, reference, arguments = CASES[name]
    with jax.enable_x64(True):
        value = jax.jit(fn)(*map(jnp.asarray, arguments))
        assert value.dtype == jnp.float64
        np.testing.assert_allclose(value, reference(*arguments), rtol=1e-12, atol=1e-14)
