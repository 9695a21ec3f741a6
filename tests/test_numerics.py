"""Float32 where it hurts: far from zero, and at probabilities that are no power of two."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)


def far(*shape):
    """Normal numbers around 1e4, where neighbouring float32 are 1e-3 apart and E[x^2] - E[x]^2 is all error."""
    return np.random.default_rng(0).normal(1e4, 1, shape).astype(np.float32)


def standardised(x, axes):
    wide = x.astype(np.float64)
    mean, var = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
    return (wide - mean) / np.sqrt(var + 1e-5)


def test_batch_norm_survives_a_mean_of_1e4():
    x = far(4096, 8)
    init, apply = jseq.with_state(jseq.batch_norm(8, momentum=1.0))
    params, state = init(KEY)
    y, state = jax.jit(apply, static_argnames="train")(params, state, x, train=True)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(y, standardised(x, (0,)), rtol=0, atol=1e-3)
    np.testing.assert_allclose(state["running_mean"], wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(state["running_var"], wide.var(0, ddof=1), rtol=1e-3)
    y, _ = apply(params, state, x)
    np.testing.assert_allclose(y, standardised(x, (0,)), rtol=0, atol=2e-3)  # the running mean is rounded to 1e-3


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (jseq.layer_norm(256), (3,)),
        (jseq.group_norm(1, 256), (1, 2, 3)),
        (jseq.group_norm(256, 256), (1, 2)),
        (jseq.instance_norm2d(256), (1, 2)),
    ],
    ids=repr,
)
def test_normalisations_survive_a_mean_of_1e4(layer, axes):
    x = far(2, 16, 16, 256)
    y = jax.jit(layer.apply)(layer.init(KEY), x)
    np.testing.assert_allclose(y, standardised(x, axes), rtol=0, atol=2e-3)


def test_rms_norm_survives_a_mean_of_1e4():
    x, layer = far(32, 256), jseq.rms_norm(256)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(-1, keepdims=True))
    np.testing.assert_allclose(layer.apply(layer.init(KEY), x), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "layer", [jseq.layer_norm(8), jseq.group_norm(2, 8, spatial_dims=0), jseq.rms_norm(8)], ids=repr
)
def test_what_is_constant_has_finite_gradients(layer):
    x = jnp.zeros((4, 8))
    gradient = jax.grad(lambda x: layer.apply(layer.init(KEY), x)[0, 0])(x)
    assert np.isfinite(gradient).all()


def test_softmax_at_1e4():
    x = jnp.array([[1e4, -1e4, 1e4], [-1e4, -1e4, 1e4]])
    np.testing.assert_array_equal(jseq.softmax(-1).apply((), x), [[0.5, 0, 0.5], [0, 0, 1]])
    log = jseq.log_softmax(-1).apply((), x)
    np.testing.assert_allclose(log, [[-np.log(2), -2e4 - np.log(2), -np.log(2)], [-2e4, -2e4, 0]], rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_gradients_of_softmax_at_1e4_are_finite(name):
    layer = getattr(jseq, name)(-1)
    gradient = jax.grad(lambda x: layer.apply((), x)[0, 0])(jnp.array([[1e4, -1e4, 1e4], [-1e4, -1e4, 1e4]]))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("layer", "slopes"),
    [
        (jseq.gelu(), (0, 1)),
        (jseq.gelu("tanh"), (0, 1)),
        (jseq.silu(), (0, 1)),
        (jseq.softplus(), (0, 1)),
        (jseq.logsigmoid(), (1, 0)),
        (jseq.mish(), (0, 1)),
    ],
    ids=repr,
)
def test_slopes_at_1e4(layer, slopes):
    x = jnp.array([-1e4, 1e4])
    y, back = jax.vjp(lambda x: layer.apply((), x), x)
    np.testing.assert_array_equal(back(jnp.ones(2))[0], slopes)
    np.testing.assert_array_equal(y, x * np.float32(slopes))


@pytest.mark.parametrize("p", [0.1, 0.25, 1 / 3, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    n = 200_000
    y = np.asarray(jseq.dropout(p).apply((), jnp.ones((n // 10, 10)), key=KEY, train=True), np.float64)
    error = np.sqrt(p * (1 - p) / n)
    assert abs((y == 0).mean() - p) < 4 * error
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)
    assert abs(y.mean() - 1) < 4 * error / (1 - p)


@pytest.mark.parametrize("p", [0, 1, 0.0, 1.0])
@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d"])
def test_dropout_of_nothing_and_of_everything(name, p):
    x = jnp.arange(1.0, 25.0).reshape(2, 2, 3, 2)
    layer = getattr(jseq, name)(p)
    y, back = jax.vjp(lambda x: layer.apply((), x, key=KEY, train=True), x)
    np.testing.assert_array_equal(y, x * (1 - p))
    np.testing.assert_array_equal(back(jnp.ones_like(x))[0], jnp.full_like(x, 1 - p))
