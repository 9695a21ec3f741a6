"""Numbers are torch's: values, gradients, running statistics; stored everywhere, live where torch is installed."""

import functools
import importlib.util

import jax
import numpy as np
import pytest

from tests import parity
from tests.cases import CASES, FAMILY_OF, VARIANTS
from tests.everyday import slow_but_for

TORCH = [case for case in VARIANTS if case.torch]
REFERENCE = [case for case in VARIANTS if case.reference is not None]
stored = functools.cache(parity.stored)


def check(case, torchs):
    assert case.tolerance == 1e-10 or case.reason, "say why the tolerance is not 1e-10"
    worst = {name: error for name, error in parity.compare(case, torchs).items() if error > case.tolerance}
    assert not worst


# Everyday, the arguments that each layer is best known by; `make slow` and, live, `make parity` hold all of them.
EVERYDAY = {id(case) for case in CASES}


@pytest.mark.parametrize("pair", slow_but_for(lambda case: id(case) in EVERYDAY, TORCH, lambda case: str(case)[:100]))
def test_numbers_equal_torchs_stored_ones(pair):
    found = stored(FAMILY_OF[id(pair)]).get(parity.identifier(pair))
    assert found is not None, "run `python -m tests.make_vectors`"
    check(pair, found)


live = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@live
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch speaks of its own speed and of defaults to come
@pytest.mark.parametrize("pair", TORCH, ids=[str(case)[:100] for case in TORCH])
def test_numbers_equal_torchs_live(pair):
    from tests import torch_side

    with jax.enable_x64(True):
        torchs = torch_side.vectors(pair)
    check(pair, torchs)


@pytest.mark.parametrize("pair", REFERENCE, ids=[str(case)[:100] for case in REFERENCE])
def test_numbers_equal_the_reference_in_numpy(pair):
    with jax.enable_x64(True):
        params, state = pair.trees()
        found, _ = parity.forward_and_backward(pair, params)(state)
        x = pair.inputs(np.float64)
        expected = pair.reference(jax.tree.map(np.asarray, params or state), x)
    for i, y in enumerate(jax.tree.leaves(expected)):
        np.testing.assert_allclose(found[f"y.{i}"], y, rtol=pair.tolerance, atol=pair.tolerance)
