"""Law 6: a layer computes in the dtype of its input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_output_dtype_is_input_dtype(case, dtype, train):
    params, state, x = case.start()
    if not any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(x)):
        return  # ids: the dtype is that of the table
    half = jax.tree.map(lambda a: a.astype(dtype) if a.dtype == jnp.float32 else a, x)
    apply = jseq.with_state(case.layer).apply
    context = case.contexts(dtype)
    y, _ = apply(params, state, half, key=jax.random.key(1), train=train, context=context)
    floating = [leaf for leaf in jax.tree.leaves(y) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert floating and all(leaf.dtype == dtype for leaf in floating)
    if not train:
        full, _ = apply(params, state, x, key=jax.random.key(1), context=case.contexts())
        for low, high in zip(jax.tree.leaves(y), jax.tree.leaves(full), strict=True):
            if jnp.issubdtype(low.dtype, jnp.floating):
                scale = 1 + np.abs(np.asarray(high)).max(initial=0)
                # half precision carries 8 bits (bfloat16); a few roundings and sums follow each other
                assert np.abs(low.astype(np.float32) - high).max(initial=0) < 0.1 * scale


def test_float64_stays_float64(case):
    with jax.enable_x64(True):
        params, state, x = case.start(np.float64)
        if not any(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(x)):
            return
        y, _ = jseq.with_state(case.layer).apply(
            params, state, x, key=jax.random.key(1), context=case.contexts(np.float64)
        )
        floating = [leaf for leaf in jax.tree.leaves(y) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        assert floating and all(leaf.dtype == jnp.float64 for leaf in floating)
