"""The faster forms of convolution on CPU give what the plain form gives.

The cases of tests/families compare in float64 and with small batches, which go the plain way.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

LAYER = jseq.conv2d(3, 16, (3, 2), padding=((1, 1), (0, 1)))


def loss(params, x):
    return jnp.sum(jnp.sin(LAYER.apply(params, x)))


def both(derivative):
    """The same derivative in float32, by the form for large batches, and in float64, by the plain one."""
    params = LAYER.init(jax.random.key(0))
    x = np.random.RandomState(0).standard_normal((32, 6, 5, 3)).astype(np.float32)
    fast = jax.jit(derivative)(params, jnp.asarray(x))
    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: np.asarray(a, np.float64), (params, x))
        plain = jax.jit(derivative)(*jax.tree.map(jnp.asarray, double))
    return fast, plain


def pushed(params, x):
    return jax.jvp(loss, (params, x), jax.tree.map(lambda a: jnp.cos(3 * a), (params, x)))


def curved(params, x):
    """A gradient of a gradient: the product rule is differentiated too."""
    return jax.grad(lambda p: jnp.sum(jnp.square(jax.grad(loss)(p, x)["weight"])))(params)


@pytest.mark.parametrize("derivative", [loss, jax.grad(loss, (0, 1)), jax.grad(loss), pushed, curved])
def test_the_weight_gradient_for_large_batches_is_the_plain_one(derivative) -> None:
    fast, plain = both(derivative)
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * np.abs(b).max())


def test_a_large_batch_may_be_mapped() -> None:
    params, x = LAYER.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (2, 32, 6, 5, 3))
    gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(params, x)
    one = jax.grad(loss)(params, x[1])
    np.testing.assert_allclose(gradients["weight"][1], one["weight"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_1x1_window_is_a_linear_map_of_the_pixels(stride: int) -> None:
    layer = jseq.conv2d(8, 5, 1, stride)
    params, x = layer.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (2, 6, 5, 8))
    expected = jnp.einsum("nhwc,co->nhwo", x[:, ::stride, ::stride], params["weight"][0, 0])
    expected = expected + params["bias"].reshape(1, 1, 1, 5)
    np.testing.assert_allclose(jax.jit(layer.apply)(params, x), expected, rtol=1e-5, atol=1e-5)
