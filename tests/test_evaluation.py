"""Law 3: evaluation is the default: deterministic, without a key."""

import chex
import jax
import pytest

import jseq


def test_evaluation_needs_no_key_and_is_deterministic(case):
    params, state, x = case.start()
    apply = jseq.with_state(case.layer).apply
    if case.name.startswith("fractional_max_pool"):  # as in torch, random in evaluation too
        with pytest.raises(jseq.errors.CallError, match="key"):
            apply(params, state, x)
        return
    y, _ = apply(params, state, x, context=case.contexts())
    again, _ = apply(params, state, x, key=jax.random.key(3), train=False, context=case.contexts())
    chex.assert_trees_all_equal(y, again)


def test_training_is_deterministic_in_the_key(case):
    params, state, x = case.start()
    apply = jseq.with_state(case.layer).apply
    runs = [apply(params, state, x, key=jax.random.key(3), train=True, context=case.contexts()) for _ in range(2)]
    chex.assert_trees_all_equal(*runs)
