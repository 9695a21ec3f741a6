"""Initial values follow torch's distributions: moments and bounds of 10^5 draws of every parameter."""

import functools

import jax
import numpy as np
import pytest

import jseq
from tests import parity
from tests.cases import FAMILY_OF
from tests.initial import DRAWS, differences, moments

stored = functools.cache(parity.stored)


@pytest.mark.slow
def test_initial_values_follow_torchs_distribution(case):
    if not (case.torch and case.init):
        return
    expected = stored(FAMILY_OF[id(case)])[parity.identifier(case)]
    torchs = {name.removeprefix("init."): row for name, row in expected.items() if name.startswith("init.")}
    params, _, x = case.start()
    smallest = min((leaf.size for leaf in jax.tree.leaves(params)), default=DRAWS)
    keys = jax.random.split(jax.random.key(11), -(-DRAWS // smallest))
    many = jax.jit(jax.vmap(lambda key: jseq.with_state(case.layer).init(key, x)[0]))(keys)
    found = parity.by_path(many)
    assert sorted(found) == sorted(torchs)
    differing = {path: differences(moments(np.asarray(found[path])), row) for path, row in torchs.items()}
    assert {path: difference for path, difference in differing.items() if difference} == {}
