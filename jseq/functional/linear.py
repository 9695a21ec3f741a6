"""Linear and bilinear maps of the last axis."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import DtypeError, ShapeError, describe, expect_features, expect_float
from jseq.functional.apart import turned
from jseq.functional.rows import shift
from jseq.functional.sharded import split_axes


def linear(x: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Maps the last axis linearly: `y = x @ weight + bias`.

    Args:
        x: the input; its dtype is the dtype of the computation.
        weight: of shape (in_features, out_features), the transpose of torch's.
        bias: of shape (out_features,), or None.

    Input: (..., in_features), any number of leading axes, none included.
    Output: (..., out_features).

    Raises:
        ShapeError: the last axis of x is not in_features.
        DtypeError: x is not floating.

    Follows torch.nn.functional.linear.

    >>> linear(jnp.ones((2, 5, 3)), jnp.ones((3, 4))).shape
    (2, 5, 4)
    """
    expect_float(x)
    in_features, out_features = weight.shape
    expect_features(x, in_features)
    # One product of matrices: with two leading axes XLA:CPU transposes x for the weight gradient, which
    # costs more than the product. Forward and gradient in 0.52 to 0.81 of `x @ weight` (five shapes,
    # x of 3 and 4 axes, one thread); lax.dot_general on the unflattened x is as slow as `@`.
    flat = x.ndim > 2 and not any(split_axes(x)[1:-1])
    rows = x.reshape(math.prod(x.shape[:-1]), in_features) if flat else x
    weight = turned(weight.astype(x.dtype), math.prod(rows.shape[:-1]))
    y = lax.dot_general(rows, weight, (((rows.ndim - 1,), (0,)), ((), ())))
    if bias is not None:
        y = shift(y, bias.astype(x.dtype))
    return y.reshape(*x.shape[:-1], out_features) if flat else y


def bilinear(x1: jax.Array, x2: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Maps two inputs bilinearly: `y[o] = sum_ij x1[i] weight[i, j, o] x2[j] + bias[o]`.

    Args:
        x1: the first input; its dtype is the dtype of the computation.
        x2: the second input, of the same dtype and the same leading axes.
        weight: of shape (in1_features, in2_features, out_features); torch's has out_features first.
        bias: of shape (out_features,), or None.

    Input: (..., in1_features) and (..., in2_features).
    Output: (..., out_features).

    Raises:
        ShapeError: a last axis does not fit the weight, or the leading axes differ.
        DtypeError: an input is not floating, or the two dtypes differ.

    Follows torch.nn.functional.bilinear.

    >>> bilinear(jnp.ones((2, 3)), jnp.ones((2, 4)), jnp.ones((3, 4, 5)))[0]
    Array([12., 12., 12., 12., 12.], dtype=float32)
    """
    expect_float(x1)
    expect_float(x2)
    in1, in2, out_features = weight.shape
    expect_features(x1, in1, hint=f"This is x1; x2 is {describe(x2)}.")
    expect_features(x2, in2, hint=f"This is x2; x1 is {describe(x1)}.")
    batch = x1.shape[:-1]
    if x2.shape[:-1] != batch:
        raise ShapeError(f"expected x1 and x2 of the same leading axes, got {describe((x1, x2))}.")
    if x1.dtype != x2.dtype:
        raise DtypeError(
            f"expected x1 and x2 of the same dtype, got {describe((x1, x2))}. Call it with x2.astype(x1.dtype)."
        )
    rows = math.prod(batch)
    y = jnp.einsum("ni,ijo,nj->no", x1.reshape(rows, in1), weight.astype(x1.dtype), x2.reshape(rows, in2))
    if bias is not None:
        y = y + bias.astype(x1.dtype).reshape(1, out_features)
    return y.reshape(*batch, out_features)
