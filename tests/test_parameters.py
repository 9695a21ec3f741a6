"""Frozen, parametrized, normed and tied params: what they compute, and what they refuse."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, OptionError, ParamsError, ShapeError

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 20).reshape(4, 5)
CHAIN = jseq.sequential(jseq.linear(5, 6), jseq.tanh(), jseq.linear(6, 3))
LANGUAGE = jseq.sequential(jseq.embedding(7, 5), jseq.tanh(), jseq.linear(5, 7, bias=False))


def loss(model, x=X):
    return lambda params: jnp.sum(jnp.sin(model.apply(params, x)))


def test_a_frozen_layer_passes_gradients_to_x_and_none_to_its_params():
    model = jseq.sequential(jseq.linear(5, 5), jseq.freeze(jseq.linear(5, 3)))
    free = jseq.sequential(jseq.linear(5, 5), jseq.linear(5, 3))
    params = free.init(KEY)
    frozen, full = jax.grad(loss(model))(params), jax.grad(loss(free))(params)
    chex.assert_trees_all_equal(frozen[0], full[0])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(frozen[1])) and (full[1]["weight"] != 0).any()


def test_a_frozen_layer_has_the_initial_values_of_the_layer():
    chex.assert_trees_all_equal(jseq.freeze(CHAIN).init(KEY), CHAIN.init(KEY))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: jseq.parametrize(CHAIN, "0.wieght", jax.nn.relu), "'0.wieght'. Did you mean '0.weight'? There are: "
         "0.bias, 0.weight, 2.bias, 2.weight"),
        (lambda: jseq.parametrize(CHAIN, (), jax.nn.relu), 'expected select to be a path such as "0.weight"'),
        (lambda: jseq.parametrize(CHAIN, 3, jax.nn.relu), "expected select to be a path"),
        (lambda: jseq.parametrize(CHAIN, "0.weight", jseq.dropout(0.5)), "expected fn to be a function of one array"),
        (lambda: jseq.parametrize(CHAIN, "0.weight", jseq.linear(5, 5)), "got linear(in_features=5"),
        (lambda: jseq.weight_norm(CHAIN, "weight"), "no parameter is called 'weight'. Did you mean"),
        (lambda: jseq.weight_norm(jseq.linear(5, 3), dim=2).init(KEY), "dim=2 is no axis of a weight of shape (5, 3)"),
        (lambda: jseq.spectral_norm(CHAIN, "1.weight"), "no parameter is called '1.weight'. Did you mean"),
        (lambda: jseq.spectral_norm(CHAIN, "0.weight", 0), "n_power_iterations must be a whole number"),
        (lambda: jseq.spectral_norm(CHAIN, "0.weight", eps=0.0), "expected eps above 0, got 0.0"),
        (lambda: jseq.lora(CHAIN, 0), "rank must be a whole number of at least 1, got 0"),
        (lambda: jseq.lora(CHAIN, 2, 0), "expected alpha to be a number above 0, or None for the rank, got 0"),
        (lambda: jseq.lora(CHAIN, 2, select="**/wight"), "matches '**/wight'. Did you mean '**/weight'? There are: "
         "0.weight, 2.weight"),
        (lambda: jseq.lora(CHAIN, 2, select="2.weigt"), "matches '2.weigt'. Did you mean '2.weight'?"),
        (lambda: jseq.lora(CHAIN, 2, select="0.bias"), "expected weights of two axes, got float32[6] at '0.bias'"),
        (lambda: jseq.tie(LANGUAGE, "0.weight", "3.weight"), "'3.weight'. Did you mean"),
        (lambda: jseq.tie(LANGUAGE, "0.weight", "0.weight"), "expected two places to tie, got '0.weight' twice"),
        (lambda: jseq.tie(LANGUAGE, "0.weight", "2.weight"), "got float32[7,5] at '0.weight' and float32[5,7] at "
         "'2.weight'. Call it with transpose=True."),
        (lambda: jseq.tie(CHAIN, "0.bias", "2.bias", transpose=True), "transpose needs two axes"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_named(wrong, text):
    with pytest.raises(OptionError) as caught:
        wrong()
    assert text in str(caught.value)


def test_a_path_in_a_model_of_inferred_sizes_is_refused_at_init():
    model = jseq.parametrize(jseq.linear(None, 3), "wieght", jax.nn.relu)
    with pytest.raises(OptionError, match="Did you mean 'weight'"):
        model.init(KEY, X)
    with pytest.raises(ShapeError, match=r"expected fn to keep the shape, got float32\[15\] of float32\[5,3\]"):
        jseq.parametrize(jseq.linear(5, 3), "weight", jnp.ravel).init(KEY)


def test_errors_inside_a_parametrized_layer_name_the_place():
    with pytest.raises(ShapeError, match=r'^linear\(in_features=6.*at "2": expected x of shape \(..., 6\)'):
        jseq.parametrize(jseq.sequential(jseq.tanh(), jseq.tanh(), jseq.linear(6, 3)), "2.weight", jnp.tanh).init(
            KEY, X
        )


def test_weight_norm_starts_as_the_layer_itself():
    model, params = jseq.weight_norm(jseq.linear(5, 3)), jseq.linear(5, 3).init(KEY)
    split = model.init(KEY)
    chex.assert_trees_all_close(model.apply(split, X), jseq.linear(5, 3).apply(params, X), rtol=1e-5, atol=1e-6)
    longer = {**split, "weight_v": 3 * split["weight_v"]}
    chex.assert_trees_all_close(model.apply(longer, X), model.apply(split, X), rtol=1e-5, atol=1e-6)
    with pytest.raises(ParamsError, match=r"weight_g: expected float32\[1,3\], got float32\[3\]"):
        model.apply({**split, "weight_g": jnp.ones(3)}, X)
    with pytest.raises(ParamsError, match="no parameter is called 'weight_g'"):
        model.apply(params, X)


def numpy_spectral(weight, u, v, steps):
    for _ in range(steps):
        u = weight.T @ v
        u /= np.linalg.norm(u)
        v = weight @ u
        v /= np.linalg.norm(v)
    return weight / (u @ weight.T @ v), u, v


def test_spectral_norm_is_power_iteration_in_training_and_fixed_in_evaluation():
    init, apply = jseq.with_state(jseq.spectral_norm(jseq.linear(5, 3), n_power_iterations=2))
    params, state = init(KEY)
    weight = np.asarray(params["layer"]["weight"], np.float64)
    bias = np.asarray(params["layer"]["bias"])
    for train in (True, False, True):
        u, v = (np.asarray(state["spectral"][name], np.float64) for name in "uv")
        y, state = apply(params, state, X, train=train)
        scaled, u, v = numpy_spectral(weight, u, v, 2 * train)
        np.testing.assert_allclose(y, np.asarray(X) @ scaled + bias, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state["spectral"]["u"], u, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state["spectral"]["v"], v, rtol=1e-4, atol=1e-5)


def test_spectral_norm_starts_near_the_largest_singular_value_and_reaches_it():
    init, apply = jseq.with_state(jseq.power_iteration(200))
    weight = jax.random.normal(KEY, (6, 4))
    y, _ = apply(*init(KEY, weight), weight, train=True)
    assert np.linalg.norm(y, 2) == pytest.approx(1, rel=1e-5)
    params, state = jseq.with_state(jseq.spectral_norm(jseq.linear(40, 30))).init(KEY)
    u, v = state["spectral"]["u"], state["spectral"]["v"]
    sigma = float(u @ params["layer"]["weight"].T @ v)
    assert sigma == pytest.approx(np.linalg.norm(params["layer"]["weight"], 2), rel=0.1)
    with pytest.raises(ShapeError, match="two axes or more"):
        jseq.with_state(jseq.spectral_norm(jseq.linear(5, 3), "bias")).init(KEY)
    with pytest.raises(CallError, match=r'power_iteration.* at "spectral" keeps state'):
        jseq.spectral_norm(jseq.linear(5, 3)).init(KEY)


def test_no_gradient_passes_through_the_estimates_of_power_iteration():
    init, apply = jseq.with_state(jseq.power_iteration())
    weight = jax.random.normal(KEY, (5, 4))
    params, state = init(KEY, weight)
    _, moved = apply(params, state, weight, train=True)

    def fixed(weight):
        return jnp.sum(jnp.sin(weight / (moved["u"] @ weight.T @ moved["v"])))

    gradient = jax.grad(lambda w: jnp.sum(jnp.sin(apply(params, state, w, train=True)[0])))(weight)
    np.testing.assert_allclose(gradient, jax.grad(fixed)(weight), rtol=1e-4, atol=1e-5)


def test_a_tied_embedding_and_head_own_one_leaf_and_their_gradients_add_up():
    ids = jnp.array([[1, 2, 3], [4, 4, 0]])
    model = jseq.tie(LANGUAGE, "0.weight", "2.weight", transpose=True)
    params = model.init(KEY)
    assert params == ({"weight": params[0]["weight"]}, (), {})
    table = params[0]["weight"]
    full = ({"weight": table}, (), {"weight": table.T})
    chex.assert_trees_all_equal(model.apply(params, ids), LANGUAGE.apply(full, ids))
    tied, apart = jax.grad(loss(model, ids))(params), jax.grad(loss(LANGUAGE, ids))(full)
    np.testing.assert_allclose(tied[0]["weight"], apart[0]["weight"] + apart[2]["weight"].T, rtol=1e-5, atol=1e-6)
    assert (apart[0]["weight"] != 0).any() and (apart[2]["weight"] != 0).any()
    with pytest.raises(ParamsError, match=r"unexpected parameter '2\.weight'"):
        model.apply(full, ids)


def test_a_tie_refuses_params_that_have_no_place_for_the_target():
    model = jseq.tie(LANGUAGE, "0.weight", "2.weight", transpose=True)
    with pytest.raises(ParamsError, match=r"expected params that hold '2\.weight'"):
        model.apply(model.init(KEY)[:2], jnp.array([1]))


@jseq.layer
def pair_of_scales():
    """A user's layer whose params are a tuple."""

    def init(key, x):
        return jnp.float32(2), jnp.float32(3)

    def apply(params, x):
        return x * params[0] * params[1]

    return init, apply


def test_params_in_a_tuple_can_be_parametrized_and_not_left_out():
    model = jseq.parametrize(jseq.sequential(pair_of_scales()), "0.1", jnp.negative)
    np.testing.assert_allclose(model.apply(model.init(KEY), X), -6 * X, rtol=1e-6)
    with pytest.raises(OptionError, match=r"'1\.0' stands in a tuple, where it cannot be left out"):
        jseq.tie(jseq.sequential(pair_of_scales(), pair_of_scales()), "0.0", "1.0")


def test_ties_nest():
    same = jseq.sequential(*[jseq.linear(5, 5)] * 3)
    model = jseq.tie(jseq.tie(same, "0.weight", "1.weight"), "0.weight", "2.weight")
    params = model.init(KEY)
    assert len(jax.tree.leaves(params)) == 4
    full = tuple({"weight": params[0]["weight"], "bias": p["bias"]} for p in params)
    chex.assert_trees_all_equal(model.apply(params, X), same.apply(full, X))
