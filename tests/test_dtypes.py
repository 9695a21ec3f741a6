"""Law 6: a layer computes in the dtype of its input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def floats_in(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def in_dtype(tree, dtype):
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def test_output_dtype_is_input_dtype(case):
    params, state, x = case.start()
    if not floats_in(x) or case.name == "cast":
        return  # ids: the dtype is that of the table; cast: to give another is all it does
    for dtype in (jnp.bfloat16, jnp.float16):
        for train in (False, True)[: 1 + case.trains]:
            half = in_dtype(x, dtype)
            y, _ = jax.eval_shape(lambda x: case.call(params, state, x, seed=1, train=train, dtype=dtype), half)  # noqa: B023
            assert floats_in(y) and all(leaf.dtype == dtype for leaf in floats_in(y))


@pytest.mark.slow
def test_half_precision_is_near_full_precision(case):
    params, state, x = case.start()
    if not floats_in(x):
        return
    low, _ = case.call(params, state, in_dtype(x, jnp.bfloat16), seed=1, dtype=jnp.bfloat16)
    full, _ = case.call(params, state, x, seed=1)
    for a, b in zip(floats_in(low), floats_in(full), strict=True):
        scale = 1 + np.abs(np.asarray(b)).max(initial=0)
        # bfloat16 carries 8 bits; a few roundings and sums follow each other
        assert np.abs(np.asarray(a, np.float32) - np.asarray(b)).max(initial=0) < 0.1 * scale


@pytest.mark.slow
def test_float64_stays_float64(case):
    with jax.enable_x64(True):
        params, state, x = case.start(np.float64)
        if floats_in(x) and case.name != "cast":
            y, _ = jax.eval_shape(lambda x: case.call(params, state, x, seed=1, dtype=np.float64), x)
            assert floats_in(y) and all(leaf.dtype == jnp.float64 for leaf in floats_in(y))
