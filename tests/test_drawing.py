"""Numbers drawn along one axis are those drawn along several, on every platform."""

import jax
import numpy as np
import pytest

import jseq
from jseq.functional.drawing import drawn

SHAPES = ((), (0,), (5,), (3, 4), (2, 0, 3), (3, 1, 2, 5))


@pytest.mark.parametrize("draw", [jax.random.normal, jax.random.uniform, jax.random.bits], ids=lambda f: f.__name__)
@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_the_numbers_do_not_depend_on_the_axes(trace_for, draw, platform):
    key = jax.random.key(0)
    wanted = [draw(key, shape) for shape in SHAPES]
    trace_for(platform)
    for shape, numbers in zip(SHAPES, wanted, strict=True):
        np.testing.assert_array_equal(drawn(draw, key, shape), numbers)


def test_initial_values_are_those_of_jax_random_alone_and_mapped():
    key = jax.random.key(0)
    np.testing.assert_array_equal(jseq.embedding(7, 3).init(key)["weight"], jax.random.normal(key, (7, 3)))
    layer, keys = jseq.conv2d(2, 4, 3), jax.random.split(key, 3)
    found = jax.jit(jax.vmap(layer.init))(keys)
    wanted = [layer.init(k) for k in keys]
    jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(lambda *leaves: np.stack(leaves), *wanted))
