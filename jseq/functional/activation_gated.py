"""Gated linear units: functions of one array whose second half is the gate of the first."""

import jax
import jax.numpy as jnp

from jseq.errors import ShapeError, describe
from jseq.functional.activation import floating, relu
from jseq.functional.activation_smooth import gelu, sigmoid, silu
from jseq.functional.activation_softmax import check_axis


def halve(x: jax.Array, dim: int = -1) -> tuple[jax.Array, jax.Array]:
    """Cuts an axis of even size into its first and second half."""
    x = floating(x)
    check_axis(x, dim)
    if x.shape[dim] % 2:
        raise ShapeError(
            f"expected x of even size along axis {dim}, to halve it, got {describe(x)}. "
            "Double the width of the layer before: one half is the value, the other its gate."
        )
    a, b = jnp.split(x, 2, axis=dim)
    return a, b


def glu(x: jax.Array, dim: int = -1) -> jax.Array:
    """Gates the first half by the sigmoid of the second: y = a * sigmoid(b), (a, b) the halves of x.

    Args: dim: the axis to halve.
    Input: (..., 2 F), floating. Output: (..., F) of the same dtype.
    Raises: ShapeError if the axis is odd; DtypeError for integers.
    Follows `torch.nn.functional.glu` (Dauphin et al. 2017, arXiv:1612.08083).

    >>> glu(jnp.array([3.0, 0.0])).tolist()
    [1.5]
    """
    a, b = halve(x, dim)
    return a * sigmoid(b)


def swiglu(x: jax.Array) -> jax.Array:
    """Gates the first half by the SiLU of the second: y = a * silu(b), (a, b) the halves of the last axis.

    The gate is the second half, as in `glu`. Many checkpoints store it first: swap their weight's halves.
    Input: (..., 2 F), floating. Output: (..., F) of the same dtype.
    Raises: ShapeError if the last axis is odd; DtypeError for integers.
    After Shazeer 2020, arXiv:2002.05202.

    >>> swiglu(jnp.array([3.0, 1e4])).tolist()
    [30000.0]
    """
    a, b = halve(x)
    return a * silu(b)


def geglu(x: jax.Array, approximate: str = "none") -> jax.Array:
    """Gates the first half by the GELU of the second: y = a * gelu(b), (a, b) the halves of the last axis.

    Args: approximate: that of `gelu`.
    Input: (..., 2 F), floating. Output: (..., F) of the same dtype.
    Raises: ShapeError if the last axis is odd; DtypeError for integers.
    After Shazeer 2020, arXiv:2002.05202.

    >>> geglu(jnp.array([3.0, 1e4])).tolist()
    [30000.0]
    """
    a, b = halve(x)
    return a * gelu(b, approximate)


def reglu(x: jax.Array) -> jax.Array:
    """Gates the first half by the rectified second: y = a * relu(b), (a, b) the halves of the last axis.

    Input: (..., 2 F), floating. Output: (..., F) of the same dtype.
    Raises: ShapeError if the last axis is odd; DtypeError for integers.
    After Shazeer 2020, arXiv:2002.05202.

    >>> reglu(jnp.array([3.0, -1.0])).tolist()
    [0.0]
    """
    a, b = halve(x)
    return a * relu(b)
