"""Ensembles and examples one by one."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import OptionError, ParamsError, ShapeError

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 20).reshape(4, 5)


def test_members_are_those_of_a_branch_of_copies():
    member = jseq.sequential(jseq.linear(5, 4), jseq.dropout(0.5))
    model, branch = jseq.ensemble(member, 3), jseq.branch(*[member] * 3)
    params, singles = model.init(KEY), branch.init(KEY)
    chex.assert_trees_all_close(params, jseq.stack_params(singles), rtol=1e-6)
    y = model.apply(params, X, key=KEY, train=True)
    chex.assert_trees_all_close(tuple(y), branch.apply(singles, X, key=KEY, train=True), rtol=1e-5, atol=1e-6)
    assert len({str(np.asarray(one) == 0) for one in y}) == 3


def test_each_member_has_its_own_input_and_statistics():
    init, apply = jseq.with_state(jseq.ensemble(jseq.batch_norm(5), 3, shared=False))
    x = jax.random.normal(KEY, (3, 8, 5)) + jnp.arange(3.0).reshape(3, 1, 1)
    params, state = init(KEY, x)
    _, new = apply(params, state, x, train=True)
    np.testing.assert_allclose(new["running_mean"], 0.1 * x.mean(1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match=r"leading axis of 3, one entry for each member, got float32\[4,5\]"):
        apply(params, state, X)


def test_an_ensemble_infers_sizes_from_one_members_input():
    model = jseq.ensemble(jseq.linear(None, 2), 3, shared=False)
    assert model.init(KEY, jnp.ones((3, 8, 7)))["weight"].shape == (3, 7, 2)
    with pytest.raises(ParamsError, match="leading axis of 3"):
        model.apply(jseq.linear(5, 2).init(KEY), jnp.ones((3, 8, 5)))
    with pytest.raises(OptionError, match="n must be a whole number of at least 1"):
        jseq.ensemble(jseq.linear(5, 2), 0)


def test_each_example_has_its_own_key():
    model = jseq.over_batch(jseq.dropout(0.5))
    y = model.apply((), jnp.ones((2, 64)), key=KEY, train=True)
    assert (y[0] != y[1]).any()
    alone = jseq.dropout(0.5).apply((), jnp.ones(64), key=jax.random.fold_in(KEY, 1), train=True)
    chex.assert_trees_all_equal(y[1], alone)


def test_over_batch_refuses_state_and_inputs_without_a_batch():
    with pytest.raises(OptionError, match=r"over_batch: expected a layer that keeps no state, got batch_norm"):
        jseq.over_batch(jseq.batch_norm(3))
    with pytest.raises(ShapeError, match="one leading axis"):
        jseq.over_batch(jseq.relu()).apply((), jnp.float32(1))
    assert jseq.over_batch(jseq.dropout(0.5)).apply((), jnp.ones((0, 3)), key=KEY, train=True).shape == (0, 3)
