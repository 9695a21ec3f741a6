"""Law 1: a layer is a pair of pure functions, and jit, vmap and init under transformations change nothing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq


def apply_of(case, train=False):
    """`(params, x) -> y` of a case, whatever state and context it has."""
    params, state, x = case.start()
    context = case.contexts()

    def run(params, x):
        key = jax.random.key(1) if case.layer.uses_key else None
        return jseq.with_state(case.layer).apply(params, state, x, key=key, train=train, context=context)[0]

    return run, params, x


def test_a_layer_unpacks_into_init_and_apply(case):
    init, apply = case.layer
    assert init == case.layer.init and apply == case.layer.apply


@pytest.mark.slow_for(when=lambda case: case.layer.children)  # what they are made of has cases of its own
def test_jit_equals_eager(case):
    params, state, x = case.start()
    jitted = case.call(params, state, x, seed=1, train=case.trains)[0]
    run, params, x = apply_of(case, train=case.trains)
    chex.assert_trees_all_close(jitted, run(params, x), rtol=1e-5, atol=1e-5)


def test_vmap_equals_the_batched_call(case):
    if not case.batched or case.context or draws_in_evaluation(case):
        return
    run, params, x = apply_of(case)
    state = case.start()[1]
    chex.assert_trees_all_close(
        jax.jit(jax.vmap(run, (None, 0)))(params, x), case.call(params, state, x)[0], rtol=1e-5, atol=1e-6
    )


def draws_in_evaluation(case):
    """Fractional pooling draws a sample for every example, so a key shared under vmap gives other samples."""
    return case.name.startswith("fractional_max_pool")


def test_an_empty_batch_gives_an_empty_batch(case):
    if not case.batched or case.context:
        return
    run, params, x = apply_of(case)
    empty = jax.tree.map(lambda a: a[:0], x)
    assert all(y.shape[0] == 0 for y in jax.tree.leaves(jax.eval_shape(run, params, empty)))


def test_init_runs_under_jit_and_eval_shape_and_needs_only_shapes(case):
    init = jseq.with_state(case.layer).init
    *eager, x = case.start()
    if not jax.tree.leaves(eager):
        return  # nothing to initialise
    struct = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), x)
    compiled = jax.jit(lambda key: init(key, struct))  # traced once for both
    chex.assert_trees_all_close(compiled(jax.random.key(0)), tuple(eager), rtol=1e-6)
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(compiled, jax.random.key(0)), tuple(eager))


@pytest.mark.slow
def test_no_tracer_leaks(case):
    run, params, x = apply_of(case, train=case.trains)
    with jax.checking_leaks():
        total = jax.grad(lambda p: sum(y.sum() for y in jax.tree.leaves(run(p, x))), allow_int=True)
        jax.make_jaxpr(total)(params)
        jax.make_jaxpr(run)(params, x)


@pytest.mark.slow
def test_no_key_is_used_twice(case):
    if not case.layer.uses_key:
        return
    run, params, x = apply_of(case, train=True)
    with jax.debug_key_reuse(True):
        jax.block_until_ready(jax.jit(run)(params, x))


@pytest.mark.parametrize("call", [lambda m, k, x: m.init(k, x), lambda m, k, x: m.init(key=k, x=x)])
def test_init_takes_keywords(call):
    model = jseq.linear(None, 3)
    chex.assert_trees_all_equal(
        call(model, jax.random.key(0), jnp.ones((2, 4))), model.init(jax.random.key(0), np.ones((2, 4)))
    )


@jax.jit
def drawn_under_jit(key):
    return jseq.linear(4, 3).init(key)


@jseq.layer
def jitted_inside():
    return lambda key, x: drawn_under_jit(key), lambda params, x: x @ params["weight"]


@jseq.layer
def of_threefry():
    def init(key, x):
        assert str(jax.random.key_impl(key)) == "threefry2x32"
        return {"weight": jax.random.normal(key, (4, 3))}

    return init, lambda params, x: x @ params["weight"]


@pytest.mark.parametrize("layer", [jitted_inside(), of_threefry()], ids=repr)
def test_shapes_are_found_before_anything_is_drawn(layer):
    """They are found with a key that draws nothing, whose zeros must not be what is drawn later."""
    x, params = jnp.ones((2, 4)), {"weight": jnp.ones((4, 3)), "bias": jnp.ones(3)}
    params = params if layer == jitted_inside() else {"weight": params["weight"]}
    np.testing.assert_array_equal(layer.apply(params, x), jnp.full((2, 3), 4.0))
    with pytest.raises(jseq.errors.ParamsError, match="weight"):
        layer.apply({**params, "weight": params["weight"].T}, x)
    made = layer.init(jax.random.key(0), x)
    assert all(np.asarray(leaf).all() for leaf in jax.tree.leaves(made))
    key = jax.random.key(0)
    plain = jseq.linear(4, 3).init(key) if layer == jitted_inside() else {"weight": jax.random.normal(key, (4, 3))}
    chex.assert_trees_all_close(made, plain, rtol=1e-6)
