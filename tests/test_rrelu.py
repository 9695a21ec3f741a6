"""rrelu, the one activation with randomness: its slopes in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)


def slopes(lower, upper, shape=(100_000,), key=KEY):
    return -jseq.rrelu(lower, upper).apply((), -jnp.ones(shape), key=key, train=True)


def test_slopes_are_uniform_between_the_bounds():
    drawn = np.asarray(slopes(0.125, 0.375))
    assert 0.125 <= drawn.min() < 0.1251 and 0.3749 < drawn.max() <= 0.375
    assert drawn.mean() == pytest.approx(0.25, abs=1e-3)
    assert drawn.std() == pytest.approx(0.25 / 12**0.5, abs=1e-3)


def test_every_element_and_every_key_has_its_own_slope():
    drawn = np.asarray(slopes(0.0, 1.0, (8, 8)))
    assert len(np.unique(drawn)) == 64
    assert not np.intersect1d(drawn, np.asarray(slopes(0.0, 1.0, (8, 8), jax.random.key(1)))).size


def test_what_is_positive_stays_and_the_slope_is_the_gradient():
    x = jnp.array([3.0, -2.0])
    y, back = jax.vjp(lambda x: jseq.rrelu().apply((), x, key=KEY, train=True), x)
    (gradient,) = back(jnp.ones(2))
    assert y[0] == 3.0 and gradient[0] == 1.0
    assert y[1] == pytest.approx(float(-2 * gradient[1]), rel=1e-6)


def test_training_without_a_key_is_refused():
    with pytest.raises(jseq.errors.CallError, match=r"rrelu.*PRNG key.*key=key, train=True"):
        jseq.rrelu().apply((), jnp.ones(2), train=True)
