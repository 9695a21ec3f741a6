"""The pure functions of the benchmark: ratios, tables, and the order of rounds."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import oneshot, quantize, report, run


def test_the_examples_of_the_report_hold():
    failed, tried = doctest.testmod(report)
    assert failed == 0 and tried >= 5


def test_each_round_begins_with_another_library():
    assert list(oneshot.rotated(["a", "b", "c"], 3)) == [*"abc", *"bca", *"cab"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parameters": 9}, "9 parameters, not 10"),
        ({"losses": [3.0]}, "first loss 3.000, not 2.000"),
        ({"losses": [2.2]}, "first loss 2.200, not 2.000"),
        ({}, "outputs off by"),
    ],
)
def test_what_computes_something_else_is_not_timed(change, reason):
    hand = {"parameters": 10, "losses": [2.0], "note": ""}
    facts = {"hand": dict(hand), "same": dict(hand), "other": {**hand, **change}}
    outputs = {name: np.ones(3) for name in facts}
    if not change:
        outputs["other"] = np.array([1.0, 1.0, 1.01])
    run.verify(facts, outputs)
    assert "failed" not in facts["same"]
    assert reason in facts["other"]["failed"]


@pytest.mark.parametrize("gpu", [False, True])
def test_the_models_of_the_quantising_benchmark_take_their_inputs(gpu):
    """From shapes alone: the ones for a GPU need one."""
    for work in quantize.workloads(gpu, small=False):
        for shape in work.shapes:
            x = jax.ShapeDtypeStruct(shape, jnp.int32 if work.high else jnp.float32)
            params = jax.eval_shape(lambda work=work, x=x: work.model.init(jax.random.key(0), x))
            assert jax.eval_shape(work.model.apply, params, x).dtype == jnp.float32, work.name
