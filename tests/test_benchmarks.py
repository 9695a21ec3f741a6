"""The pure functions of the benchmark: ratios, tables, and the order of rounds."""

import doctest

import numpy as np
import pytest

from benchmarks import oneshot, report, run


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
