"""Law 2: the caller chooses the calling convention; state is a tree of its own."""

import chex
import jax
import jax.numpy as jnp
import pytest

import jseq


def test_state_keeps_its_structure_shapes_and_dtypes_and_evaluation_writes_nothing(case):
    params, state, x = case.start()
    _, new = case.call(params, state, x, seed=1)
    if case.name == "streaming":  # its state is what it has seen, in evaluation above all
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
    else:
        chex.assert_trees_all_equal(new, state)
    if case.trains:
        _, new = case.call(params, state, x, seed=1, train=True)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


def test_the_two_conventions_agree(case):
    params, state, x = case.start()
    context = case.contexts()
    if case.layer.keeps_state:
        with pytest.raises(jseq.errors.CallError, match="keeps state"):
            case.layer.apply(params, x)
        with pytest.raises(jseq.errors.CallError, match="keeps state"):
            case.layer.init(jax.random.key(0), x)
        return
    assert jax.tree.leaves(state) == []
    chex.assert_trees_all_equal(case.layer.init(jax.random.key(0), x), params)
    key = jax.random.key(1)
    plain = jax.make_jaxpr(lambda p, x: case.layer.apply(p, x, key=key, context=context))(params, x)
    threaded = jax.make_jaxpr(
        lambda p, x: jseq.with_state(case.layer).apply(p, state, x, key=key, context=context)
    )(params, x)  # fmt: skip
    assert str(plain) == str(threaded)  # the same operations, to the letter


def test_a_model_that_keeps_no_state_threads_empty_state():
    model = jseq.sequential(jseq.linear(3, 4), jax.nn.relu, jseq.sequential({"a": jseq.linear(4, 2)}))
    params, state = jseq.with_state(model).init(jax.random.key(0))
    assert state == ((), (), {"a": ()})
    y, new = jseq.with_state(model).apply(params, state, jnp.ones((2, 3)))
    assert new == state and y.shape == (2, 2)


def test_with_state_refuses_what_is_no_layer():
    with pytest.raises(jseq.errors.CallError, match="with_state takes a jseq layer"):
        jseq.with_state(jax.nn.relu)
