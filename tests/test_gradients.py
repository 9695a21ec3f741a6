"""Gradients are finite, and equal to numeric ones in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from tests.case import Case, floats

SETTLED = (
    Case(jseq.spectral_norm(jseq.linear(5, 1)), floats(4, 5)),  # at once: there is one singular value
    Case(jseq.spectral_norm(jseq.linear(5, 3), n_power_iterations=40), floats(4, 5)),
)


def loss_of(case, train):
    with_state = jseq.with_state(case.layer)
    params, state, x = case.start(np.float64)
    context = case.contexts(np.float64)
    leaves, structure = jax.tree.flatten((params, x))
    kinds = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    floating = [leaf for leaf, kind in zip(leaves, kinds, strict=True) if kind]
    fixed = [leaf for leaf, kind in zip(leaves, kinds, strict=True) if not kind]

    def loss(floating):
        moving, still = iter(floating), iter(fixed)
        params, x = jax.tree.unflatten(structure, [next(moving) if kind else next(still) for kind in kinds])
        y, _ = with_state.apply(params, state, x, key=jax.random.key(1), train=train, context=context)
        terms = [jnp.sum(jnp.sin(leaf + 0.3)) for leaf in jax.tree.leaves(y)
                 if jnp.issubdtype(leaf.dtype, jnp.floating)]  # fmt: skip
        return sum(terms[1:], terms[0])

    return loss, floating


@pytest.mark.parametrize("settled", SETTLED, ids=str)
def test_the_gradient_of_spectral_norm_is_the_numeric_one_once_u_and_v_have_settled(settled):
    expect_numeric_gradients(settled)


def have_torchs_gradients(case):
    """Whether parity holds the gradients of what is differentiated here against torch's."""
    return case.torch and (case.train or not case.trains)


@pytest.mark.slow_for(when=have_torchs_gradients)
def test_gradients_equal_numeric_ones(case):
    expect_numeric_gradients(case)


def expect_numeric_gradients(case):
    """In training where that is different: parity covers evaluation."""
    with jax.enable_x64(True):
        loss, floating = loss_of(case, case.trains)
        both = jax.jit(jax.value_and_grad(loss))  # compiled once, for the steps as well
        gradient = both(floating)[1]
        assert all(np.isfinite(leaf).all() for leaf in gradient)
        if not case.smooth:
            return
        random = np.random.RandomState(5)
        tangent = [random.standard_normal(leaf.shape) for leaf in floating]
        exact = sum(float(np.vdot(a, b)) for a, b in zip(gradient, tangent, strict=True))

        def moved(step):
            return both([np.asarray(a) + step * t for a, t in zip(floating, tangent, strict=True)])[0]

        assert exact == pytest.approx(float(moved(1e-6) - moved(-1e-6)) / 2e-6, rel=1e-5, abs=1e-6)
