"""What dropout and its relatives do in training: which elements share a draw, and what stays the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)


def train(layer, x, key=KEY):
    return np.asarray(layer.apply((), x, key=key, train=True))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_dropout_of_channels_drops_them_whole_and_examples_apart(n):
    spatial = tuple(range(1, n + 1))
    y = train(getattr(jseq, f"dropout{n}d")(0.25), jnp.ones((500, *(2,) * n, 16)))
    assert (y == y.max(spatial, keepdims=True)).all()
    dropped = y.max(spatial) == 0
    assert abs(dropped.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 8000)
    np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-6)
    assert dropped.any(1).mean() > 0.9 and not dropped.all(0).any()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_without_a_batch_axis_and_with_two(n):
    layer = getattr(jseq, f"dropout{n}d")(0.5)
    one = train(layer, jnp.ones((*(2,) * n, 64)))
    assert set(one.reshape(-1, 64).sum(0)) == {0, 2.0 ** (n + 1)}
    two = train(layer, jnp.ones((4, 3, *(2,) * n, 64))).reshape(12, -1, 64).max(1)
    assert len({row.tobytes() for row in two}) == 12


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_alpha_dropout_keeps_mean_and_variance(p):
    x = jax.random.normal(jax.random.key(1), (100_000,))
    y = train(jseq.alpha_dropout(p), x)
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03


@pytest.mark.parametrize("p", [0.1, 0.3, 0.8])
def test_alpha_dropout_writes_what_torch_writes(p):
    """torch's two branches in numbers: a = 1 / sqrt((alpha^2 p + 1) (1 - p)) and b = alpha a p."""
    alpha = 1.7580993408473766
    a = 1 / np.sqrt((alpha**2 * p + 1) * (1 - p))
    y = train(jseq.alpha_dropout(p), jnp.full((100_000,), 2.0))
    kept, dropped = y.max(), y.min()
    assert kept == pytest.approx(2 * a + alpha * a * p, rel=1e-6)
    assert dropped == pytest.approx(-alpha * a + alpha * a * p, rel=1e-6)
    assert set(y) == {kept, dropped}
    assert abs((y == dropped).mean() - p) < 4 * np.sqrt(p * (1 - p) / 100_000)


@pytest.mark.parametrize("p", [0, 1])
def test_alpha_dropout_of_nothing_and_of_everything(p):
    x = jnp.arange(1.0, 13.0).reshape(1, 2, 3, 2)
    for layer in (jseq.alpha_dropout(p), jseq.feature_alpha_dropout(p)):
        np.testing.assert_array_equal(train(layer, x), x * (1 - p))


@pytest.mark.parametrize(
    ("n", "shape"), [(1, (6, 5, 32)), (2, (6, 2, 3, 32)), (3, (6, 2, 2, 2, 32)), (1, (6, 2, 3, 32))]
)
def test_feature_alpha_dropout_sets_channels_whole(n, shape):
    y = train(jseq.feature_alpha_dropout(0.5, spatial_dims=n), jnp.ones(shape))
    rows = y.reshape(-1, int(np.prod(shape[-1 - n : -1])), 32)
    assert (rows == rows[:, :1]).all() and len(np.unique(y)) == 2
    assert len({row[0].tobytes() for row in rows}) == len(rows)


def test_drop_path_drops_whole_examples():
    y = train(jseq.drop_path(0.2, event_dims=2), jnp.ones((5000, 3, 2)))
    assert (y == y[:, :1, :1]).all()
    assert abs((y[:, 0, 0] == 0).mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 5000)
    np.testing.assert_allclose(y[y != 0], 1.25, rtol=1e-6)


def test_drop_path_of_an_example_without_batch_axis_is_all_or_nothing():
    layer = jseq.drop_path(0.5, event_dims=2)
    sums = {float(train(layer, jnp.ones((3, 2)), jax.random.key(i)).sum()) for i in range(20)}
    assert sums == {0.0, 12.0}


def test_drop_path_zero_keeps_all_and_event_dims_zero_is_dropout():
    x = jnp.ones((400, 50))
    np.testing.assert_array_equal(train(jseq.drop_path(0.0, event_dims=1), x), x)
    np.testing.assert_array_equal(train(jseq.drop_path(0.5, event_dims=0), x), train(jseq.dropout(0.5), x))


def test_gaussian_noise_has_its_standard_deviation():
    noise = train(jseq.gaussian_noise(0.25), jnp.full((100_000,), 3.0)) - 3
    assert abs(noise.mean()) < 4 * 0.25 / np.sqrt(1e5)
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    kurtosis = ((noise / noise.std()) ** 4).mean()
    assert kurtosis == pytest.approx(3, abs=0.1)


LAYERS = [
    jseq.dropout(0.5), jseq.dropout1d(), jseq.dropout2d(), jseq.dropout3d(), jseq.alpha_dropout(),
    jseq.feature_alpha_dropout(), jseq.drop_path(0.5, event_dims=1), jseq.gaussian_noise(1.0),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_training_without_a_key_is_refused(layer):
    with pytest.raises(jseq.errors.CallError, match=rf"{layer.name}.*PRNG key.*key=key, train=True"):
        layer.apply((), jnp.ones((2, 2, 2, 2, 2)), train=True)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_integers_are_refused(layer):
    with pytest.raises(jseq.errors.DtypeError, match=rf"{layer.name}.*floating"):
        layer.apply((), jnp.ones((2, 2, 2, 2, 2), int), key=KEY, train=True)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_the_gradient_goes_where_the_value_went(layer):
    """y is linear in x for a given key: y(x) - y(0) is the gradient's product with x."""
    x = jax.random.normal(jax.random.key(2), (4, 2, 2, 2, 8))
    y, tangent = jax.jvp(lambda x: layer.apply((), x, key=KEY, train=True), (x,), (x,))
    np.testing.assert_allclose(tangent, y - train(layer, jnp.zeros_like(x)), atol=1e-5)
