"""Gated linear units."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params


@layer
def glu(dim: int = -1):
    """Gates the first half of an axis by the second: `y = a * sigmoid(b)`, (a, b) the halves of x.

    Args:
        dim: the axis to halve; the default is the features.

    Input: `(..., 2 F)`, floating.
    Output: `(..., F)`, of x's dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis, or its size is odd.
        DtypeError: x is not floating.

    Follows `torch.nn.GLU` (Dauphin et al. 2017, arXiv:1612.08083). `jseq.functional` has the gates `swiglu`,
    `geglu` and `reglu` too; as plain functions of one array they stand in a `sequential` as they are.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.glu().apply((), jnp.array([3.0, 0.0]))
        Array([1.5], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.glu(x, dim)

    return no_params, apply
