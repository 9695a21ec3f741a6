"""Sums and products as torch has them: axes of size 1 are repeated. They stand in models that `from_torch` makes."""

from typing import Any

import jax

from jseq._combinators.graph import entries
from jseq.errors import ShapeError, describe


def fitting(x: Any) -> tuple[jax.Array, jax.Array]:
    """Two arrays that can be combined; torch would also add axes in front of one, which is refused."""
    a, b = entries(x, 2)
    sizes = zip(a.shape, b.shape, strict=False)
    if a.ndim != b.ndim or a.dtype != b.dtype or any(n != m and 1 not in (n, m) for n, m in sizes):
        raise ShapeError(f"expected two arrays of one dtype with as many axes, each of one size or of size 1 in one "
                         f"of them, got {describe(x)}. In torch, b.unsqueeze(-1) gives b an axis more.")  # fmt: skip
    return a, b


def broadcast_add(x: Any) -> jax.Array:
    """The sum of two arrays."""
    a, b = fitting(x)
    return a + b


def broadcast_multiply(x: Any) -> jax.Array:
    """The product of two arrays."""
    a, b = fitting(x)
    return a * b
