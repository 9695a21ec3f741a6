"""Maxima over windows, channels-last: the first of equals has the gradient, NaN wins."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.functional.pool_windows import Pool, along_axis, window_slice
from jseq.functional.sharded import placed, sharding_beside

# The arrays that are reduced together: values, or values and flat indices.
Arrays = tuple[jax.Array, ...]
Combine = Callable[[Arrays, Arrays], Arrays]

# An axis of a wider kernel is folded or doubled in log2(kernel) steps, so that programs stay small.
_WIDEST_SLICED = 8


@jax.custom_jvp
def _maximum(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the larger element; of equal ones the first has the whole gradient, NaN wins."""
    return lax.max(a, b)


@_maximum.defjvp
def _maximum_jvp(primals: Arrays, tangents: Arrays) -> tuple[jax.Array, jax.Array]:
    a, b = primals
    return lax.max(a, b), lax.select(_second(a, b), tangents[1], tangents[0])


def _second(a: jax.Array, b: jax.Array) -> jax.Array:
    """Whether b is the maximum and a is not: torch's `(val > maxval) || isnan(val)`."""
    return lax.bitwise_or(lax.gt(b, a), lax.ne(b, b))


def first_maximum(left: Arrays, right: Arrays) -> Arrays:
    """Combines (values,) or (values, indices) elementwise; an index of -1 marks padding, which loses."""
    if len(left) == 1:
        return (_maximum(left[0], right[0]),)
    (a, at), (b, bt) = left, right
    take = _second(a, b) | (at < 0)
    return jnp.where(take, b, a), jnp.where(take, bt, at)


def flat_indices(x: jax.Array, n: int) -> jax.Array:
    """Returns the int32 index of each element in the flattened spatial axes of its channel."""
    sizes = x.shape[-1 - n : -1]
    plane = jnp.arange(int(np.prod(sizes)), dtype=jnp.int32).reshape(*sizes, 1)
    axes = tuple(range(x.ndim - 1 - n, x.ndim))
    return placed(lax.broadcast_in_dim(plane, x.shape, axes), sharding_beside(x, x.ndim))


def _over_slices(combine: Combine, arrays: Arrays, counts: Sequence[int], pool: Pool) -> Arrays:
    """Combines the elements of each window in row-major order."""
    offsets = itertools.product(*(range(k) for k in pool.kernel))
    slices = (tuple(window_slice(a, offset, counts, pool) for a in arrays) for offset in offsets)
    result = next(slices)
    for piece in slices:
        result = combine(result, piece)
    return result


def _over_doubled(combine: Combine, arrays: Arrays, counts: Sequence[int], pool: Pool, axis: int) -> Arrays:
    """Combines windows of 1, 2, 4, ... elements; the last two overlap, which no maximum minds."""
    kernel, dilation = pool.kernel[axis], pool.dilation[axis]
    where = arrays[0].ndim - 1 - len(pool.kernel) + axis
    width = 1
    while 2 * width < kernel:
        shift = width * dilation
        length = arrays[0].shape[where] - shift
        left = tuple(lax.slice_in_dim(a, 0, length, axis=where) for a in arrays)
        right = tuple(lax.slice_in_dim(a, shift, shift + length, axis=where) for a in arrays)
        arrays, width = combine(left, right), 2 * width
    pair = Pool(
        tuple(2 if i == axis else 1 for i in range(len(pool.kernel))),
        pool.stride,
        pool.padding,
        tuple((kernel - width) * dilation if i == axis else 1 for i in range(len(pool.kernel))),
        False,
    )
    return _over_slices(combine, arrays, counts, pair)


def _over_folded(combine: Combine, arrays: Arrays, counts: Sequence[int], pool: Pool, axis: int) -> Arrays:
    """Cuts windows that do not overlap out of the axis and folds them pair by pair."""
    where = arrays[0].ndim - 1 - len(pool.kernel) + axis
    count, stride, span, dilation = counts[axis], pool.stride[axis], pool.span[axis], pool.dilation[axis]

    def cut(a: jax.Array) -> jax.Array:
        length = a.shape[where]
        # what the padding fills in lies between windows and is cut off again
        widths = [(0, count * stride - length if i == where else 0, 0) for i in range(a.ndim)]
        a = lax.pad(a, jnp.zeros((), a.dtype), widths)
        a = a.reshape(*a.shape[:where], count, stride, *a.shape[where + 1 :])
        return lax.slice_in_dim(a, 0, span, dilation, axis=where + 1)

    arrays = tuple(cut(a) for a in arrays)
    while (length := arrays[0].shape[where + 1]) > 1:
        # neighbours, and the odd one unchanged: only so does the first of equals stay the first
        even = length - length % 2
        left = tuple(lax.slice_in_dim(a, 0, even, 2, axis=where + 1) for a in arrays)
        right = tuple(lax.slice_in_dim(a, 1, even, 2, axis=where + 1) for a in arrays)
        rest = (lax.slice_in_dim(a, even, length, axis=where + 1) for a in arrays)
        pairs = zip(combine(left, right), rest, strict=True)
        arrays = tuple(lax.concatenate(pair, where + 1) if length % 2 else pair[0] for pair in pairs)
    return tuple(lax.squeeze(a, (where + 1,)) for a in arrays)


def reduce_windows(combine: Combine, arrays: Arrays, counts: Sequence[int], pool: Pool) -> Arrays:
    """Combines each window of padded arrays; `combine` keeps the first of equals.

    Last axis first: the first row with the maximum, and in it the first column, is then the first
    maximum in row-major order. 2x2 in one go is 2 times as fast with its gradient as axis by axis on
    CPU, 3x3 with stride 2 is 0.7 times as fast: only windows that do not overlap are taken in one go.
    """
    if np.prod(pool.kernel) <= (4 if pool.overlapping else 9):
        return _over_slices(combine, arrays, counts, pool)
    sizes = list(arrays[0].shape[-1 - len(counts) : -1])
    for axis in reversed(range(len(counts))):
        one = along_axis(pool, axis)
        sizes[axis] = counts[axis]
        if pool.kernel[axis] <= _WIDEST_SLICED:
            arrays = _over_slices(combine, arrays, sizes, one)
        elif pool.stride[axis] >= pool.span[axis]:
            arrays = _over_folded(combine, arrays, sizes, one, axis)
        else:
            arrays = _over_doubled(combine, arrays, sizes, one, axis)
    return arrays
