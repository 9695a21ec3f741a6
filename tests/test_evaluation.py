"""Law 3: evaluation is the default: deterministic, without a key."""

import chex
import jax
import pytest

import jseq


def test_evaluation_needs_no_key_and_is_deterministic(case):
    params, state, x = case.start()
    if case.name.startswith("fractional_max_pool"):  # as in torch, random in evaluation too
        with pytest.raises(jseq.errors.CallError, match="key"):
            case.call(params, state, x)
        return
    y, _ = case.call(params, state, x)
    if case.layer.uses_key:
        chex.assert_trees_all_equal(y, case.call(params, state, x, seed=3)[0])


def test_training_is_deterministic_in_the_key_and_refuses_to_go_without(case):
    if not case.layer.uses_key:
        return
    params, state, x = case.start()
    runs = [case.call(params, state, x, seed=3, train=True) for _ in range(2)]
    chex.assert_trees_all_equal(*runs)
    other, _ = case.call(params, state, x, seed=4, train=True)
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(runs[0][0]), jax.tree.leaves(other), strict=True))
    with pytest.raises(jseq.errors.CallError, match="key"):
        case.call(params, state, x, train=True)
