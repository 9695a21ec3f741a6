"""Initial values follow torch's distributions: moments and bounds of 10^5 draws of every parameter."""

import functools

import jax
import numpy as np
import pytest

import jseq
from tests import parity
from tests.cases import CASES, FAMILY_OF
from tests.initial import DRAWS, differences, moments

DRAWN = [case for case in CASES if case.torch and case.init and jax.tree.leaves(case.start()[0])]
stored = functools.cache(parity.stored)


@pytest.mark.parametrize("drawn", DRAWN, ids=[str(case)[:80] for case in DRAWN])
def test_initial_values_follow_torchs_distribution(drawn):
    expected = stored(FAMILY_OF[id(drawn)])[parity.identifier(drawn)]
    params, _, x = drawn.start()
    smallest = min(leaf.size for leaf in jax.tree.leaves(params))
    keys = jax.random.split(jax.random.key(11), -(-DRAWS // smallest))
    many = jax.jit(jax.vmap(lambda key: jseq.with_state(drawn.layer).init(key, x)[0]))(keys)
    found = parity.by_path(many)
    torchs = {name.removeprefix("init."): row for name, row in expected.items() if name.startswith("init.")}
    assert sorted(found) == sorted(torchs)
    differing = {path: differences(moments(np.asarray(found[path])), row) for path, row in torchs.items()}
    assert {path: difference for path, difference in differing.items() if difference} == {}
