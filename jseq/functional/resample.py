"""Linear maps along one axis with a few known weights per output: interpolation and uneven averages."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jseq.functional.average_pooling import accumulator

# Beyond this many weights an output, a matrix product is the smaller program.
_MOST_TAPS = 16


def _tables(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the columns and the weights of the nonzero elements of each row, filled up with zeros."""
    taps = max(int(np.count_nonzero(matrix, axis=1).max()), 1)
    columns = np.argsort(matrix == 0, axis=1, kind="stable")[:, :taps]
    return columns, np.take_along_axis(matrix, columns, axis=1)


def _weighted_rows(x: jax.Array, axis: int, matrix: np.ndarray) -> jax.Array:
    """Returns `y[o] = sum over i of matrix[o, i] * x[i]` along an axis."""
    columns, weights = _tables(matrix)
    if weights.shape[1] > _MOST_TAPS:
        product = jnp.tensordot(jnp.asarray(matrix, x.dtype), x, ((1,), (axis,)), precision=lax.Precision.HIGHEST)
        return jnp.moveaxis(product, 0, axis)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    total = None
    for column, weight in zip(columns.T, weights.T, strict=True):
        rows = jnp.take(x, column, axis=axis, mode="clip")
        if np.any(weight != 1):
            rows = rows * jnp.asarray(weight.reshape(shape), x.dtype)
        if np.any(weight == 0):  # an infinite element must not reach outputs that do not read it
            rows = jnp.where((weight != 0).reshape(shape), rows, jnp.zeros_like(rows))
        total = rows if total is None else total + rows
    assert total is not None
    return total


class _Matrix:
    """A matrix as a parameter of an operation of JAX's: hashed as the object that it is."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    @property
    def operations(self) -> int:
        """How many operations an element of the result takes, counted as those of `_weighted_rows`."""
        _, weights = _tables(self.rows)
        if weights.shape[1] > _MOST_TAPS:
            return 2 * self.rows.shape[1]
        return sum(1 + int(np.any(w != 1)) + int(np.any(w == 0)) for w in weights.T) - 1


def _apply(x: jax.Array, axis: int, matrix: _Matrix) -> jax.Array:
    return _weighted_rows(x, axis, matrix.rows)


def _type(x: Any, axis: int, matrix: _Matrix) -> Any:
    shape = (*x.shape[:axis], matrix.rows.shape[0], *x.shape[axis + 1 :])
    return x.update(shape=shape, weak_type=False)


def _transposed(g: Any, _: Any, axis: int, matrix: _Matrix) -> list[jax.Array]:
    return [_rows.bind(g, axis=axis, matrix=_Matrix(matrix.rows.T))]


def _mapped(args: Sequence[Any], axes: Sequence[int], axis: int, matrix: _Matrix) -> tuple[jax.Array, int]:
    return _rows.bind(jnp.moveaxis(args[0], axes[0], 0), axis=axis + 1, matrix=matrix), 0


# An operation of JAX's, of which each derivative is this operation again.
_rows = Primitive("weighted_rows")
_rows.def_impl(_apply)
_rows.def_abstract_eval(_type)
mlir.register_lowering(_rows, mlir.lower_fun(_apply, multiple_results=False))
ad.deflinear2(_rows, _transposed)
batching.primitive_batchers[_rows] = _mapped


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _linear(x: jax.Array, axis: int, matrix: _Matrix) -> jax.Array:
    """Multiplies by the matrix, and the gradient by its transpose in the same way; without one, in plain JAX."""
    return _apply(x, axis, matrix)


@_linear.defjvp
def _linear_jvp(
    axis: int, matrix: _Matrix, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return _linear(primals[0], axis, matrix), _rows.bind(tangents[0], axis=axis, matrix=matrix)


def resample(x: jax.Array, axis: int, matrix: np.ndarray) -> jax.Array:
    """Multiplies an axis of x by a sparse constant matrix: `y[o] = sum over i of matrix[o, i] * x[i]`.

    The gradient gathers like the map itself. Left to autodiff it would be a scatter, which made bilinear
    upsampling (16x32x32x64 by 2) with its gradient 5 times slower on CPU; a dense product was 3 times
    slower.

    Args:
        x: floats.
        axis: the axis, counted from the front.
        matrix: (outputs, inputs), mostly zero.

    Output: x with `outputs` elements along the axis; sums of half precision run in float32.

    >>> resample(jnp.array([1.0, 2.0, 3.0]), 0, np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]]))
    Array([1.5, 2.5], dtype=float32)
    """

    return _linear(x.astype(accumulator(x.dtype)), axis, _Matrix(matrix)).astype(x.dtype)
