"""Gradients are finite, and equal to numeric ones in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq


def loss_of(case, train):
    with_state = jseq.with_state(case.layer)
    params, state, x = case.start(np.float64)
    context = case.contexts(np.float64)
    floating = [leaf for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    structure = jax.tree.structure(x)
    kinds = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(x)]
    fixed = [leaf for leaf, kind in zip(jax.tree.leaves(x), kinds, strict=True) if not kind]

    def loss(params, floating):
        moving, still = iter(floating), iter(fixed)
        x = jax.tree.unflatten(structure, [next(moving) if kind else next(still) for kind in kinds])
        y, _ = with_state.apply(params, state, x, key=jax.random.key(1), train=train, context=context)
        terms = [jnp.sum(jnp.sin(leaf + 0.3)) for leaf in jax.tree.leaves(y)
                 if jnp.issubdtype(leaf.dtype, jnp.floating)]  # fmt: skip
        return sum(terms[1:], terms[0])

    return loss, params, floating


def test_gradients_equal_numeric_ones(case):
    """In training where that is different: parity covers evaluation."""
    with jax.enable_x64(True):
        loss, params, floating = loss_of(case, case.trains)
        both = jax.jit(jax.value_and_grad(loss, (0, 1)))  # compiled once, for the steps as well
        gradient = jax.tree.leaves(both(params, floating)[1])
        assert all(np.isfinite(leaf).all() for leaf in gradient)
        if not case.smooth:
            return
        random = np.random.RandomState(5)
        tangent = jax.tree.map(lambda a: random.standard_normal(a.shape), (params, floating))
        exact = sum(float(np.vdot(a, b)) for a, b in zip(gradient, jax.tree.leaves(tangent), strict=True))

        def moved(step):
            return both(*jax.tree.map(lambda a, t: np.asarray(a) + step * t, (params, floating), tangent))[0]

        assert exact == pytest.approx(float(moved(1e-6) - moved(-1e-6)) / 2e-6, rel=1e-5, abs=1e-6)
