"""Holding float32 against the same mathematics in float64, derivatives of both orders and modes included."""

import jax
import jax.numpy as jnp
import numpy as np


def close(found, function, *arrays, tolerance=5e-6) -> None:
    """Holds a tree against what a function gives in float64, relative to the largest of each array."""
    with jax.enable_x64(True):
        expected = function(*(jnp.asarray(a, jnp.float64) for a in arrays))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max(), rtol=0)


def gradients(operation):
    """Both gradients of a sum of sines."""
    return jax.grad(lambda x, w: jnp.sum(jnp.sin(operation(x, w))), (0, 1))


def orders(operation, x, w, dx, dw):
    """The value, a tangent, and the gradients of a function of tangents."""

    def tangent(x, w):
        return jax.jvp(lambda x, w: jnp.sin(operation(x, w)), (x, w), (dx, dw))[1]

    return operation(x, w), tangent(x, w), jax.grad(lambda x, w: jnp.sum(tangent(x, w) ** 2), (0, 1))(x, w)
