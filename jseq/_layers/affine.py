"""What the normalisations of channels learn and keep: a scale and a shift, and running statistics."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq.errors import expect_features

Tree = dict[str, jax.Array]


def affine_params(size: int, affine: bool, bias: bool) -> Any:
    """The params of a normalisation: a scale of ones, a shift of zeros."""
    if not affine:
        return ()
    return {"weight": jnp.ones((size,)), "bias": jnp.zeros((size,))} if bias else {"weight": jnp.ones((size,))}


def affine_of(params: Any) -> tuple[jax.Array | None, jax.Array | None]:
    """The weight and bias in these params, None for what is not learned."""
    return (params["weight"], params.get("bias")) if params else (None, None)


def running_statistics(size: int) -> Tree:
    """The state of a normalisation before it has seen a batch."""
    return {
        "running_mean": jnp.zeros((size,)),
        "running_var": jnp.ones((size,)),
        "num_batches_tracked": jnp.zeros((), jnp.int32),
    }


def expect_channels(x: Any, channels: int | None) -> None:
    """Refuses x with other channels than declared, where no weight or statistic would show it."""
    if channels is not None:
        expect_features(x, channels, hint="The last axis holds the channels.")
