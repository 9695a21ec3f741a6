"""The partial inverse of max pooling: values go back to where the maxima were."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import DtypeError, OptionError, ShapeError, describe, expect_float, expect_rank
from jseq.functional.pool_windows import FORMS, Pool, Size, pool_options
from jseq.functional.sharded import split_axes, zeros_beside
from jseq.functional.windows import per_axis


def unpooled_size(sizes: Sequence[int], pool: Pool, output_size: Size | None = None) -> tuple[int, ...]:
    """Returns the sizes before pooling: `(size - 1) * stride - 2 * padding + kernel` unless given.

    Raises:
        OptionError: the given sizes are a stride or more away from these.

    >>> unpooled_size((3, 3), pool_options(2, 2)), unpooled_size((3, 3), pool_options(2, 2), (7, 6))
    ((6, 6), (7, 6))
    """
    axes = zip(sizes, pool.kernel, pool.stride, pool.padding, strict=True)
    default = tuple((size - 1) * s - 2 * p + k for size, k, s, p in axes)
    if output_size is None:
        return default
    wanted = per_axis(output_size, len(default), "output_size")
    if any(abs(w - d) >= s for w, d, s in zip(wanted, default, pool.stride, strict=True)):
        raise OptionError(
            f"output_size must be less than a stride of {pool.stride} away from {default}, "
            f"got {output_size!r}. Leave it None for {default}."
        )
    return wanted


def _max_unpool(x: jax.Array, indices: jax.Array, n: int, pool: Pool, output_size: Size | None) -> jax.Array:
    expect_rank(x, n + 1, FORMS[n])
    expect_float(x)
    if indices.shape != x.shape:
        raise ShapeError(
            f"expected indices of the shape of x, got {describe(indices)} and {describe(x)}. "
            f"Take both from max_pool{n}d(..., return_indices=True)."
        )
    if not jnp.issubdtype(indices.dtype, jnp.integer):
        raise DtypeError(
            f"expected integer indices, got {describe(indices)}. Take them from max_pool{n}d(..., return_indices=True)."
        )
    lead, channels = x.shape[: -1 - n], x.shape[-1]
    sizes = unpooled_size(x.shape[-1 - n : -1], pool, output_size)
    if any(size < 1 for size in sizes):
        raise ShapeError(f"expected x of shape {FORMS[n]}, got {describe(x)}, which unpools to {sizes}.")
    batch, area = math.prod(lead), math.prod(sizes)
    inner = (*lead, math.prod(x.shape[-1 - n : -1]), channels)
    values, places = (a.reshape(inner).reshape(batch, *inner[-2:]) for a in (x, indices.astype(jnp.int32)))
    y = zeros_beside(values, (batch, area, channels), 1)
    # One index for each axis, but for a batch that is split over a mesh: JAX looks up nothing across that.
    y = jax.vmap(_put)(y, places, values) if split_axes(values)[0] else _put(y, places, values)
    return y.reshape(*lead, area, channels).reshape(*lead, *sizes, channels)


def _put(y: jax.Array, places: jax.Array, values: jax.Array) -> jax.Array:
    """Puts values (..., N, C) at their places in y (..., area, C); what is beyond it is dropped."""
    at = [lax.broadcasted_iota(jnp.int32, values.shape, axis) for axis in range(values.ndim) if axis != values.ndim - 2]
    at.insert(-1, places)
    return y.at[tuple(at)].set(values, mode="drop")


def max_unpool1d(
    x: jax.Array,
    indices: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Size | None = None,
) -> jax.Array:
    """Puts each value where its maximum was, and 0 elsewhere: `y[indices[i]] = x[i]`.

    Equal to `torch.nn.functional.max_unpool1d`; where two values have one index, one of them stays.

    Args:
        x: floats of shape (..., T, C).
        indices: integers of the same shape into the flattened axis of each channel, as from
            `max_pool1d(..., return_indices=True)`; values with an index beyond it are dropped.
        kernel_size: the window of that pooling: one number.
        stride: its stride; None is `kernel_size`.
        padding: its padding.
        output_size: the sizes before pooling, where the stride leaves them open.

    Output: (..., T_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: sizes, shapes or types that do not fit.

    >>> max_unpool1d(jnp.array([[5.0], [6.0]]), jnp.array([[1], [2]]), 2)[:, 0]
    Array([0., 5., 6., 0.], dtype=float32)
    """
    return _max_unpool(x, indices, 1, pool_options(1, kernel_size, stride, padding), output_size)


def max_unpool2d(
    x: jax.Array,
    indices: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Size | None = None,
) -> jax.Array:
    """Puts each value where its maximum was, and 0 elsewhere: `y[indices[i]] = x[i]`.

    Equal to `torch.nn.functional.max_unpool2d`; where two values have one index, one of them stays.

    Args:
        x: floats of shape (..., H, W, C).
        indices: integers of the same shape into the flattened plane of each channel, as from
            `max_pool2d(..., return_indices=True)`; values with an index beyond it are dropped.
        kernel_size: the window of that pooling: one number or one per axis.
        stride: its stride; None is `kernel_size`.
        padding: its padding.
        output_size: the sizes before pooling, where the stride leaves them open.

    Output: (..., H_out, W_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: sizes, shapes or types that do not fit.

    >>> max_unpool2d(jnp.array([[[5.0]]]), jnp.array([[[2]]]), 2)[..., 0]
    Array([[0., 0.],
           [5., 0.]], dtype=float32)
    """
    return _max_unpool(x, indices, 2, pool_options(2, kernel_size, stride, padding), output_size)


def max_unpool3d(
    x: jax.Array,
    indices: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Size | None = None,
) -> jax.Array:
    """Puts each value where its maximum was, and 0 elsewhere: `y[indices[i]] = x[i]`.

    Equal to `torch.nn.functional.max_unpool3d`; where two values have one index, one of them stays.

    Args:
        x: floats of shape (..., D, H, W, C).
        indices: integers of the same shape into the flattened volume of each channel, as from
            `max_pool3d(..., return_indices=True)`; values with an index beyond it are dropped.
        kernel_size: the window of that pooling: one number or one per axis.
        stride: its stride; None is `kernel_size`.
        padding: its padding.
        output_size: the sizes before pooling, where the stride leaves them open.

    Output: (..., D_out, H_out, W_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: sizes, shapes or types that do not fit.

    >>> max_unpool3d(jnp.ones((1, 1, 1, 8)), jnp.zeros((1, 1, 1, 8), int), 2).shape
    (2, 2, 2, 8)
    """
    return _max_unpool(x, indices, 3, pool_options(3, kernel_size, stride, padding), output_size)
