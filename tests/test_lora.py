"""Low-rank adapters: training them, merging them."""

import chex
import jax
import jax.numpy as jnp
import pytest

import jseq
from jseq.errors import CallError, ParamsError

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 20).reshape(4, 5)
CHAIN = jseq.sequential(jseq.linear(5, 6), jseq.tanh(), jseq.linear(6, 3))


def loss(model, x=X):
    return lambda params: jnp.sum(jnp.sin(model.apply(params, x)))


def test_lora_starts_as_the_base_and_trains_the_adapters_alone():
    model = jseq.lora(CHAIN, 2, 8)
    params = model.init(KEY)
    chex.assert_trees_all_equal(params["base"], CHAIN.init(KEY))
    chex.assert_trees_all_equal(model.apply(params, X), CHAIN.apply(params["base"], X))
    gradient = jax.grad(loss(model))(params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["base"]))
    assert all((pair["b"] != 0).any() for pair in gradient["lora"].values())


def test_lora_passes_over_what_is_no_matrix():
    model = jseq.sequential(jseq.conv2d(1, 2, 3), jseq.flatten(), jseq.linear(8, 8), jseq.layer_norm(8))
    assert list(jseq.lora(model, 2).init(KEY)["lora"]) == ["2.weight"]
    late = jseq.lora(jseq.sequential(jseq.linear(None, 3)), 2)
    assert late.init(KEY, X)["lora"]["0.weight"]["a"].shape == (5, 2)


def trained(model):
    params, state = jseq.with_state(model).init(KEY)
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    return moved, state


@pytest.mark.parametrize(
    "model",
    [
        jseq.lora(CHAIN, 2, 8),
        jseq.lora(CHAIN, 2, select=("0.weight",)),
        jseq.sequential(
            jseq.lora(jseq.linear(5, 4), 2), jax.nn.relu, jseq.sequential({"a": jseq.lora(jseq.linear(4, 4), 1)})
        ),
        jseq.branch({"one": jseq.lora(jseq.linear(5, 4), 2, 1.0), "two": jseq.tanh()}),
        jseq.lora(jseq.sequential(jseq.lora(jseq.linear(5, 4), 1)), 2, select="0.base.weight"),
    ],
)  # fmt: skip
def test_merging_gives_the_plain_model_with_the_same_numbers(model):
    params, _ = trained(model)
    plain, merged = jseq.merge_lora(model, params)
    assert "lora" not in repr(plain)
    chex.assert_trees_all_equal_shapes_and_dtypes(merged, plain.init(KEY))
    chex.assert_trees_all_close(plain.apply(merged, X), model.apply(params, X), rtol=1e-5, atol=1e-5)


def test_no_key_is_used_twice():
    model = jseq.lora(CHAIN, 2)
    params = model.init(KEY)
    with jax.debug_key_reuse(True):
        model.init(jax.random.key(1), X)
        model.apply(params, X)
        jseq.merge_lora(model, params)


def test_merging_keeps_functions_and_names():
    model = jseq.sequential({"fc": jseq.lora(jseq.linear(5, 4), 2), "act": jax.nn.relu})
    plain, merged = jseq.merge_lora(model, model.init(KEY))
    assert plain == jseq.sequential({"fc": jseq.linear(5, 4), "act": jax.nn.relu}) and list(merged) == ["fc", "act"]


def test_merging_and_adapting_refuse_what_does_not_fit():
    model = jseq.lora(CHAIN, 2)
    params = model.init(KEY)
    with pytest.raises(CallError, match=r"sequential.*no lora layer is in this model"):
        jseq.merge_lora(CHAIN, params)
    with pytest.raises(CallError, match=r"remat.*not into this"):
        jseq.merge_lora(jseq.remat(model), params)
    with pytest.raises(ParamsError, match=r'dict of base, lora.*\{"base": params'):
        model.apply(params["base"], X)
    with pytest.raises(ParamsError, match=r"adapters do not fit: missing '0.weight.a'"):
        model.apply({"base": params["base"], "lora": {"2.weight": params["lora"]["2.weight"]}}, X)
    with pytest.raises(ParamsError, match=r"0.weight.a: expected float32\[5,2\], got float32\[5,3\]"):
        model.apply(jseq.lora(CHAIN, 3).init(KEY), X)


def test_a_wrapped_models_tree_is_drawn_with_its_options():
    assert str(jseq.lora(jseq.linear(5, 3), 2)) == (
        "lora(rank=2,\n  (base): linear(in_features=5, out_features=3, bias=True)\n)"
    )
