"""Derivatives of resizing, and of pooling to sizes that do not divide, in both modes."""

import chex
import jax
import jax.numpy as jnp
import pytest

from jseq import functional as F

RESIZED = {
    "linear": lambda x: F.interpolate(x, 1, size=50, mode="linear"),
    "nearest": lambda x: F.interpolate(x, 1, size=50),
    "average": lambda x: F.adaptive_avg_pool1d(x, 8),
    "maximum": lambda x: F.adaptive_max_pool1d(x, 8),
    "wide": lambda x: F.adaptive_avg_pool1d(x, 2),  # a product of matrices
}
X, V, W = jax.random.normal(jax.random.key(0), (3, 4, 35, 2))


@pytest.fixture(params=RESIZED)
def resized(request):
    return RESIZED[request.param]


def energy_of(resized):
    return lambda x: jnp.sum(jnp.sin(resized(x)))


def test_forward_and_reverse_mode_agree(resized):
    y, tangent = jax.jvp(resized, (X,), (V,))
    chex.assert_trees_all_equal(y, resized(X))
    weights = jnp.cos(y)
    slope = jax.grad(energy_of(resized))(X)
    # float32 sums of 280 terms of about 1, in another order
    chex.assert_trees_all_close(jnp.vdot(weights, tangent), jnp.vdot(slope, V), rtol=1e-4, atol=1e-4)


def test_hessians_agree_in_all_orders_of_the_modes(resized):
    energy = energy_of(resized)
    along = jax.grad(lambda x: jnp.vdot(jax.grad(energy)(x), V))(X)
    # float32 sums of up to 35 terms, in another order; twice of 280, as above
    chex.assert_trees_all_close(jax.jvp(jax.grad(energy), (X,), (V,))[1], along, rtol=1e-5, atol=1e-5)
    twice = jax.jvp(lambda x: jax.jvp(energy, (x,), (V,))[1], (X,), (W,))[1]
    chex.assert_trees_all_close(twice, jnp.vdot(along, W), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_tangents_and_gradients_can_be_mapped(resized, axis):
    tangents = jnp.stack([V, W], axis)
    _, along = jax.linearize(resized, X)
    chex.assert_trees_all_close(jax.vmap(along, axis)(tangents), jnp.stack([along(V), along(W)]), rtol=1e-6)
    y, back = jax.vjp(resized, X)
    weights = jnp.stack([jnp.cos(y), jnp.sin(y)], axis)
    wanted = jnp.stack([back(jnp.cos(y))[0], back(jnp.sin(y))[0]])
    chex.assert_trees_all_close(jax.vmap(back, axis)(weights)[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "average"])
def test_no_derivative_scatters(kind):
    slope = jax.grad(energy_of(RESIZED[kind]))
    second = jax.grad(lambda x: jnp.vdot(slope(x), V))
    for run in (slope, second, lambda x: jax.jvp(slope, (x,), (V,))[1]):
        assert "scatter" not in jax.jit(run).lower(X).as_text()
