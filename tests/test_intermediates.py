"""What inner layers give, read and replaced, inside every kind of combinator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, SelectionError, ShapeError

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 12).reshape(3, 4)
STEP = jseq.residual(jseq.sequential(jseq.linear(4, 4), jseq.tanh()))
MODEL = jseq.sequential(
    {
        "in": jseq.sequential(jseq.linear(4, 4), jseq.batch_norm(4), jax.nn.relu),
        "deep": jseq.repeat(STEP, 3, remat=True),
        "copies": jseq.repeat(STEP, 2, stacked=False),
        "members": jseq.ensemble(jseq.linear(4, 2), 5),
    }
)
PARAMS, STATE = jax.jit(jseq.with_state(MODEL).init)(KEY, X)


def run(*select, model=MODEL, params=PARAMS, state=STATE, x=X, **options):
    return jseq.intermediates(model, params, x, *select, state=state, **options)


@pytest.mark.parametrize(
    ("select", "found"),
    [
        ("in/relu", {"in.2": (3, 4)}),
        ("**/relu*", {"in.2": (3, 4)}),
        ("in.*", {"in.0": (3, 4), "in.1": (3, 4), "in.2": (3, 4)}),
        ("deep", {"deep": (3, 4)}),
        ("deep/residual", {"deep.residual": (3, 3, 4)}),
        (jseq.tanh, {"deep.layer.1": (3, 3, 4), "copies.*.layer.1": (2, 3, 4)}),
        ("members/*", {"members.linear": (5, 3, 2)}),
        (lambda path, layer: layer.keeps_state and not layer.children, {"in.1": (3, 4)}),
    ],
)
def test_what_layers_give_is_handed_out_by_path(select, found):
    shapes = jax.eval_shape(lambda: run(select)[1])
    assert {path: value.shape for path, value in shapes.items()} == found


def test_a_tap_changes_nothing_and_takes_what_the_layer_gave():
    y, found = jax.jit(lambda params, state, x: run("**", params=params, state=state, x=x))(PARAMS, STATE, X)
    np.testing.assert_allclose(y, jax.jit(jseq.with_state(MODEL).apply)(PARAMS, STATE, X)[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found["deep.residual"][-1], found["deep"])
    np.testing.assert_array_equal(found["copies.*.residual"][-1], found["copies"])
    before = jnp.concatenate([found["in"][None], found["deep.residual"][:-1]])
    np.testing.assert_allclose(before + found["deep.layer.1"], found["deep.residual"], rtol=1e-6)


def test_gradients_with_respect_to_inner_activations_are_those_of_the_chain_rule():
    chain = jseq.sequential(jseq.linear(4, 4), jseq.tanh(), jseq.linear(4, 1))
    params = chain.init(KEY)

    def output(path, h):
        return jseq.intermediates(chain, params, X, replace={path: h})[0].sum()

    h = jnp.tanh(chain[0].apply(params[0], X))
    by_hand = jnp.broadcast_to(params[2]["weight"][:, 0], (3, 4))
    np.testing.assert_allclose(jax.grad(output, 1)("1", h), by_hand, rtol=1e-6)

    # One gradient a copy, stacked: later copies do not see what earlier ones gave instead of y.
    @jax.jit
    def gradients(x):
        found = run("deep/residual", "copies/*/residual", x=x)[1]
        return {path: jax.grad(lambda h, path=path: run(x=x, replace={path: h})[0].sum())(h)
                for path, h in found.items()}  # fmt: skip

    used = jax.tree.map(lambda gradient: [bool((row != 0).any()) for row in gradient], gradients(X))
    assert used == {"deep.residual": [False, False, True], "copies.*.residual": [False, True]}


def test_what_a_layer_gives_is_replaced_by_a_function():
    @jax.jit
    @jax.vmap
    def batched(x):
        return run("in/relu", "deep", x=x, replace={"**/tanh": jnp.zeros_like})[1]

    found = batched(jnp.stack([X, -X]))
    np.testing.assert_array_equal(found["deep"], found["in.2"])
    assert (found["deep"][0] != found["deep"][1]).any()


def test_a_layer_used_twice_gives_twice():
    shared = jseq.graph({"f": jseq.linear(4, 4)}, {"a": ("f", "x"), "b": ("f", "a")})
    params = shared.init(KEY)
    y, found = jseq.intermediates(shared, params, X, "f")
    np.testing.assert_array_equal(found["f"][1], y)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: run("in/relo"), SelectionError, r"no layer is at 'in/relo'. Did you mean 'relu'\? There are: in, "),
        (lambda: run(jseq.gelu), SelectionError, r"no layer is selected by gelu. There are: in, in.0"),
        (lambda: run(3), CallError, r"expected a selector of layers: a pattern .* got 3"),
        (lambda: run("in", state=None), CallError, r"this model keeps state. The call that works: intermediates"),
        (lambda: run(replace={"in": X[:1]}), ShapeError, r"for 'in' like what the layer gives, float32\[3,4\], got"),
    ],
)  # fmt: skip
def test_a_tap_that_cannot_be_is_an_error(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()


def test_a_layer_whose_outputs_do_not_get_out_is_named():
    for model in (jseq.over_batch(jseq.linear(4, 2)), jseq.recurrent(jseq.rnn_cell(4, 2))):
        inner = model.children["layer"].name
        with pytest.raises(SelectionError, match=rf"what '{inner}' gives does not get out, or in: it is not applied"):
            jseq.intermediates(model, (), X, f"**/{inner}")
    unused = jseq.graph({"f": jseq.linear(4, 4), "g": jseq.relu()}, {"a": ("f", "x")})
    with pytest.raises(SelectionError, match="what 'g' gives does not get out"):
        jseq.intermediates(unused, unused.init(KEY), X, "*")
