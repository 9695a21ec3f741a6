"""Embeddings: initial values, bags of different lengths, and positions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", ["embedding", "embedding_bag"])
def test_the_row_of_padding_starts_at_zero(name):
    weight = getattr(jseq, name)(7, 3, padding_idx=-2).init(KEY)["weight"]
    assert (weight[5] == 0).all() and (weight[4] != 0).all()
    ones = getattr(jseq, name)(7, 3, weight_init=jax.nn.initializers.ones).init(KEY)["weight"]
    np.testing.assert_array_equal(ones, np.ones((7, 3)))


def test_learned_positions_start_small_or_as_told():
    weight = jseq.learned_positions(400, 50).init(KEY)["weight"]
    assert abs(weight.mean()) < 1e-3 and weight.std() == pytest.approx(0.02, rel=0.03)
    zeros = jseq.learned_positions(4, 5, weight_init=jax.nn.initializers.zeros).init(KEY)["weight"]
    np.testing.assert_array_equal(zeros, np.zeros((4, 5)))


def test_bags_of_one_length_and_bags_with_offsets_agree():
    ids = jnp.array([[1, 2, 6], [4, 4, 0]])
    for mode in ("sum", "mean", "max"):
        layer = jseq.embedding_bag(7, 3, mode=mode)
        params = layer.init(KEY)
        flat = jax.jit(layer.apply)(params, ids.ravel(), context={"offsets": jnp.array([0, 3])})
        chex.assert_trees_all_close(flat, layer.apply(params, ids), atol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_an_empty_bag_gives_zeros_and_finite_gradients(mode):
    layer = jseq.embedding_bag(7, 3, mode=mode)
    params = layer.init(KEY)
    context = {"offsets": jnp.array([0, 2, 2])}
    y = layer.apply(params, jnp.array([1, 2]), context=context)
    assert (y[2] == 0).all() and (y[1] == 0).all() and (y[0] != 0).any()
    gradient = jax.grad(lambda p: layer.apply(p, jnp.array([1, 2]), context=context).sum())(params)
    assert np.isfinite(gradient["weight"]).all()


def test_gradients_flow_into_the_weights_of_a_bag():
    layer = jseq.embedding_bag(7, 3, mode="sum")
    params = layer.init(KEY)
    ids = jnp.array([[1, 2]])
    gradient = jax.grad(lambda w: layer.apply(params, ids, context={"per_sample_weights": w}).sum())(jnp.ones((1, 2)))
    np.testing.assert_allclose(gradient, params["weight"][ids].sum(-1), rtol=1e-6)


def test_a_bag_stands_in_a_sequential_that_hands_the_context_down():
    model = jseq.sequential(jseq.embedding_bag(7, 3, mode="sum"), jseq.linear(3, 2))
    params = model.init(KEY)
    y = model.apply(params, jnp.array([1, 2, 4, 5]), context={"offsets": jnp.array([0, 1, 3])})
    assert y.shape == (3, 2)


def test_no_row_is_longer_than_max_norm():
    layer = jseq.embedding(50, 8, max_norm=1.0)
    params = layer.init(KEY)
    y = layer.apply(params, jnp.arange(50))
    length = np.linalg.norm(y, axis=-1)
    assert length.max() <= 1 + 1e-6 and (length > 0.99).mean() > 0.9
    assert np.linalg.norm(params["weight"], axis=-1).max() > 1


def test_rotary_embedding_makes_products_depend_on_distance_alone():
    query, key = jax.random.normal(KEY, (2, 1, 1, 16))
    layer = jseq.rotary_embedding()

    def product(i, j):
        def at(x, place):
            return layer.apply((), x[None], context={"positions": jnp.array([place])})

        return float(jnp.sum(at(query, i) * at(key, j)))

    assert product(3, 1) == pytest.approx(product(103, 101), abs=1e-4)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3


def test_rotary_embedding_continues_where_the_cache_ends():
    layer = jseq.rotary_embedding()
    x = jax.random.normal(KEY, (2, 6, 3, 8))
    late = layer.apply((), x[:, 4:], context={"positions": jnp.array([4, 5])})
    chex.assert_trees_all_close(late, layer.apply((), x)[:, 4:], atol=1e-6)


def test_positions_work_in_half_precision():
    x = jnp.zeros((2000, 1, 8), jnp.bfloat16)
    y = jseq.sinusoidal_positions().apply((), x[:, 0])
    assert y.dtype == jnp.bfloat16
    exact = jseq.functional.sinusoidal_positions(2000, 8)
    np.testing.assert_allclose(np.asarray(y, np.float32), exact, atol=2e-3)
    turned = jseq.rotary_embedding().apply((), x + jnp.bfloat16(1))
    exact = jseq.rotary_embedding().apply((), jnp.ones((2000, 1, 8)))
    np.testing.assert_allclose(np.asarray(turned, np.float32), exact, atol=1e-2)
