"""Packed params: exact, and the same model."""

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


MIXED = {"a": jnp.arange(6.0).reshape(2, 3), "b": (jnp.arange(3), jnp.float32(7), ()), "c": jnp.ones(2, jnp.bfloat16)}


def test_packing_and_unpacking_are_exact():
    packed = jseq.pack(MIXED)
    assert {name: array.shape for name, array in packed.items()} == {"float32": (7,), "int32": (3,), "bfloat16": (2,)}
    chex.assert_trees_all_equal(jseq.unpack(packed, MIXED), MIXED)
    chex.assert_trees_all_equal_shapes_and_dtypes(jseq.unpack(packed, MIXED), MIXED)
    structs = jax.eval_shape(lambda: MIXED)
    chex.assert_trees_all_equal(jax.jit(lambda p: jseq.unpack(p, structs))(packed), MIXED)
    assert jseq.pack(()) == {} and jseq.unpack({}, ()) == ()


def test_a_packed_layer_computes_what_the_layer_does():
    model = jseq.packed(CHAIN)
    params = CHAIN.init(KEY)
    chex.assert_trees_all_equal(model.init(KEY), jseq.pack(params))
    chex.assert_trees_all_close(model.apply(jseq.pack(params), X), CHAIN.apply(params, X), rtol=1e-6, atol=1e-6)
    gradient = jax.grad(loss(model))(jseq.pack(params))
    plain = jseq.pack(jax.grad(loss(CHAIN))(params))
    chex.assert_trees_all_close(gradient, plain, rtol=1e-5, atol=1e-6)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), jseq.pack(params))
    assert model.apply(half, X).dtype == jnp.float32


def test_the_gradient_of_packed_params_joins_each_group_once():
    """Slices would add arrays of the full size, one for each leaf."""
    model = jseq.packed(jseq.sequential(*[jseq.linear(5, 5)] * 8))
    text = str(jax.make_jaxpr(jax.grad(loss(model)))(model.init(KEY)))
    assert "concatenate" in text and " pad[" not in text


def test_packed_params_of_another_size_are_refused():
    model = jseq.packed(CHAIN)
    text = r"packed\(\.\.\.\): expected packed params \{'float32': float32\[57\]\}, got"
    for wrong in ({"float32": jnp.ones(5)}, {}, CHAIN.init(KEY), {"float16": model.init(KEY)["float32"]}):
        with pytest.raises(ParamsError, match=text):
            model.apply(wrong, X)
    with pytest.raises(CallError, match="expected a tree of arrays, got int 3"):
        jseq.pack({"a": 3})


def test_wrappers_compose():
    deep = jseq.repeat(jseq.weight_norm(jseq.freeze(jseq.linear(5, 5))), 3)
    model = jseq.ensemble(jseq.packed(deep), 2)
    params = model.init(KEY)
    assert params["float32"].shape == (2, 3 * (5 + 25 + 5))
    for y, member in zip(model.apply(params, X), jseq.unstack_params(params), strict=True):
        tree = jseq.unpack(member, jax.eval_shape(deep.init, KEY))
        chex.assert_trees_all_close(y, deep.apply(tree, X), rtol=1e-5, atol=1e-6)
