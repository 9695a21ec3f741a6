"""Equal layers in a row draw their initial values together under `jax.jit`: the values that each draws alone."""

import chex
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq._combinators import siblings

KEY = jax.random.key(0)
BLOCK = jseq.residual(
    jseq.sequential(jseq.layer_norm(8), jseq.linear(8, 8, weight_init=jax.nn.initializers.orthogonal()))
)
MODELS = {
    "blocks": jseq.sequential(*[BLOCK] * 5),
    "named": jseq.sequential({f"block{i}": BLOCK for i in range(5)}),
    "between others": jseq.sequential(jseq.linear(8, 8), *[BLOCK] * 4, jnp.tanh, *[jseq.linear(8, 8)] * 4, BLOCK),
    "apart": jseq.sequential(*[BLOCK, jseq.relu()] * 5),
    "with state": jseq.sequential(*[jseq.batch_norm(8)] * 4),
    "without params": jseq.sequential(*[jseq.relu()] * 5, jseq.linear(8, 8)),
    "sizes from x": jseq.sequential(*[jseq.linear(None, 8)] * 5),
    "each of another shape": jseq.sequential(*[jseq.max_pool1d(2)] * 4, *[jseq.linear(None, 4)] * 4),
}


def draws(model, *x) -> int:
    """How many times numbers are drawn, on the platform that draws most often."""

    def count(jaxpr) -> int:
        drawn = 0
        for equation in jaxpr.eqns:
            inside = [count(j) for j in jax.extend.core.jaxprs_in_params(equation.params)]
            drawn += max(inside, default=0) if equation.primitive.name == "cond" else sum(inside)
            drawn += equation.primitive.name == "random_bits"
        return drawn

    return count(jax.make_jaxpr(lambda key: jseq.with_state(model).init(key, *x))(KEY).jaxpr)


@pytest.mark.slow
@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "raw"])
@pytest.mark.parametrize("name", MODELS)
def test_the_values_are_those_drawn_one_by_one(name, impl) -> None:
    init, _ = jseq.with_state(MODELS[name])
    key = jax.random.PRNGKey(3) if impl == "raw" else jax.random.key(3, impl=impl)
    shape = jax.ShapeDtypeStruct((16, 8), jnp.float32)
    inputs = [(shape,)] if name in ("sizes from x", "each of another shape") else [(), (shape,)]
    for x in inputs:
        eager, jitted = init(key, *x), jax.jit(lambda key, x=x: init(key, *x))(key)
        chex.assert_trees_all_equal_shapes_and_dtypes(jitted, eager)
        chex.assert_trees_all_close(jitted, eager, rtol=2e-5, atol=2e-6)  # QR, and the scaling, vectorised otherwise


def test_how_often_numbers_are_drawn(monkeypatch) -> None:
    plain = jseq.sequential(*[jseq.linear(8, 8)] * 6)
    once, each = draws(jseq.sequential(jseq.linear(8, 8))), 6 * draws(jseq.sequential(jseq.linear(8, 8)))
    x = jax.ShapeDtypeStruct((2, 8), jnp.float32)
    assert draws(plain) == draws(plain, x) == once
    assert draws(jseq.sequential(*[jseq.linear(8, 8)] * 3)) == 3 * once  # few
    assert draws(jseq.sequential(*[jseq.linear(None, 8)] * 6), jax.ShapeDtypeStruct((2, 4), x.dtype)) == each
    monkeypatch.setattr(siblings, "LARGEST", 6 * 72 - 1)
    assert draws(plain) == each


def test_an_error_of_the_row_names_the_first_layer() -> None:
    model = jseq.sequential(jseq.linear(4, 8), *[jseq.linear(7, 7)] * 5)
    with pytest.raises(jseq.errors.ShapeError, match="7") as found:
        jax.jit(lambda key: model.init(key, jax.ShapeDtypeStruct((2, 4), jnp.float32)))(KEY)
    assert any("in (1)" in note for note in found.value.__notes__)
    unknown = jseq.sequential(*[jseq.linear(None, 8)] * 5)
    for run in (unknown.init, jax.jit(unknown.init)):
        with pytest.raises(jseq.errors.LayerError) as found:
            run(KEY)
        assert any("in (0)" in note for note in found.value.__notes__)


def test_the_main_child_keeps_the_key_as_it_is() -> None:
    @jseq.layer
    def main_third(*layers):
        children = jseq.Children(layers, main="2")

        def apply(params, state, x, key, train, context):
            return x, state

        return children.init_chain, apply, children.layers

    model = main_third(*[jseq.linear(4, 4)] * 5)
    eager, jitted = model.init(KEY), jax.jit(model.init)(KEY)
    chex.assert_trees_all_close(jitted, eager, rtol=2e-6)  # the scaling, vectorised otherwise
    chex.assert_trees_all_close(eager[2], jseq.linear(4, 4).init(KEY), rtol=2e-6)


def test_initialisers_that_cannot_be_mapped() -> None:
    def drawn_by_numpy(key, shape, dtype=jnp.float32):
        def draw(data):
            return np.random.default_rng(np.asarray(data).tolist()).normal(size=shape).astype(np.float32)

        return jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, jnp.float32), jax.random.key_data(key))

    model = jseq.sequential(*[jseq.linear(4, 4, weight_init=drawn_by_numpy)] * 5)
    chex.assert_trees_all_close(jax.jit(model.init)(KEY), model.init(KEY), rtol=2e-6)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("stacked", [True, False])
def test_copies_draw_under_jit_what_they_draw_without(stacked, impl) -> None:
    init = jseq.repeat(jseq.residual(jseq.linear(8, 8)), 5, stacked=stacked).init
    key = jax.random.key(3, impl=impl)
    chex.assert_trees_all_close(jax.jit(init)(key), init(key), rtol=1e-6)


def test_copies_of_copies_are_traced_once() -> None:
    """Not once for each platform of each row around them."""
    traced = []

    @jseq.layer
    def counted():
        return lambda key, x: traced.append(0) or {"weight": jax.random.normal(key, (4,))}, lambda params, x: x

    model = counted()
    for _ in range(4):
        model = jseq.repeat(model, 2)
    jax.jit(model.init).trace(KEY)
    assert len(traced) == 1
