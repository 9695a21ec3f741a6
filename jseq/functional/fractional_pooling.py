"""Fractional max pooling (Graham 2014, arXiv:1412.6071): windows at pseudo-random steps."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jseq.errors import OptionError, ShapeError, describe, expect_float, expect_key, expect_rank
from jseq.functional.average_pooling import accumulator
from jseq.functional.max_windows import Arrays, first_maximum, flat_indices
from jseq.functional.pool_windows import FORMS, Size
from jseq.functional.windows import per_axis


def fractional_options(
    n: int,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...] | None, tuple[float, ...] | None]:
    """Returns the kernel, and the output sizes or ratios of a fractional pooling over `n` axes, checked.

    Raises:
        OptionError: both or neither of size and ratio, or a ratio that is not between 0 and 1.

    >>> fractional_options(2, 3, output_ratio=0.5)
    ((3, 3), None, (0.5, 0.5))
    """
    kernel = per_axis(kernel_size, n, "kernel_size")
    if (output_size is None) == (output_ratio is None):
        raise OptionError(
            "expected one of output_size and output_ratio, got "
            f"output_size={output_size!r} and output_ratio={output_ratio!r}."
        )
    if output_size is not None:
        return kernel, per_axis(output_size, n, "output_size"), None
    many = isinstance(output_ratio, (list, tuple))
    ratios: tuple[Any, ...] = tuple(output_ratio) if many else (output_ratio,) * n  # type: ignore[arg-type]
    if len(ratios) != n or not all(isinstance(r, float) and 0 < r < 1 for r in ratios):
        raise OptionError(f"output_ratio must be a number between 0 and 1, or {n}, got {output_ratio!r}.")
    return kernel, None, ratios


def _starts(sample: jax.Array, size: int, count: int, kernel: int) -> jax.Array:
    """Returns where the windows start: `int((i + u) alpha) - int(u alpha)`, the last at the end.

    Input: samples u of shape (..., C). Output: int32 of shape (..., count, C).
    """
    last = size - kernel
    if count == 1:
        return jnp.full((*sample.shape[:-1], 1, sample.shape[-1]), last, jnp.int32)
    # the same order of roundings as in torch, which computes in the dtype of the input
    alpha = jnp.asarray(last, sample.dtype) / jnp.asarray(count - 1, sample.dtype)
    u = jnp.expand_dims(sample, -2)
    i = jnp.arange(count, dtype=sample.dtype).reshape((1,) * (sample.ndim - 1) + (count, 1))
    i = jnp.broadcast_to(i, (*sample.shape[:-1], count, sample.shape[-1]))
    u = jnp.broadcast_to(u, i.shape)
    starts = ((i + u) * alpha).astype(jnp.int32) - (u * alpha).astype(jnp.int32)
    return jnp.where(i == count - 1, jnp.full_like(starts, last), jnp.minimum(starts, last))


def _maximum_axis(arrays: Arrays, axis: int, n: int, starts: jax.Array, kernel: int) -> Arrays:
    """Takes the maximum of `kernel` elements from each start along one axis."""
    lead = arrays[0].ndim - 1 - n
    others = [lead + i for i in range(n) if lead + i != axis]
    at = jnp.expand_dims(starts, others)

    def read(offset: int) -> Arrays:
        return tuple(jnp.take_along_axis(a, at + offset, axis=axis, mode="clip") for a in arrays)

    result = read(0)
    for offset in range(1, kernel):
        result = first_maximum(result, read(offset))
    return result


def _samples(x: jax.Array, n: int, samples: jax.Array | None, key: jax.Array | None) -> jax.Array:
    shape = (*x.shape[: -1 - n], x.shape[-1], n)
    if samples is None:
        expect_key(key, f"fractional_max_pool{n}d(x, kernel_size, output_size, key=jax.random.key(0))")
        assert key is not None
        return jax.random.uniform(key, shape, accumulator(x.dtype))
    if samples.shape != shape:
        raise ShapeError(f"expected samples of shape {shape} for x {describe(x)}, got {describe(samples)}.")
    return samples.astype(accumulator(x.dtype))


def _fractional(
    x: jax.Array,
    n: int,
    options: tuple[tuple[int, ...], tuple[int, ...] | None, tuple[float, ...] | None],
    return_indices: bool,
    key: jax.Array | None,
    samples: jax.Array | None,
) -> Any:
    expect_rank(x, n + 1, FORMS[n])
    expect_float(x)
    kernel, counts, ratios = options
    sizes, lead = x.shape[-1 - n : -1], x.ndim - 1 - n
    if counts is None:
        assert ratios is not None
        counts = tuple(int(size * r) for size, r in zip(sizes, ratios, strict=True))
    if any(c < 1 or c + k - 1 > size for size, c, k in zip(sizes, counts, kernel, strict=True)):
        raise ShapeError(
            f"expected x of shape {FORMS[n]} with at least output_size + kernel_size - 1 elements on each "
            f"axis, got {describe(x)} for output_size {counts} and kernel_size {kernel}."
        )
    u = _samples(x, n, samples, key)
    arrays = (x, flat_indices(x, n)) if return_indices else (x,)
    for i in reversed(range(n)):
        # torch keeps the sample of the width first in 2d, and that of the depth first in 3d
        starts = _starts(u[..., 1 - i if n == 2 else i], sizes[i], counts[i], kernel[i])
        arrays = _maximum_axis(arrays, lead + i, n, starts, kernel[i])
    return arrays if return_indices else arrays[0]


def fractional_max_pool2d(
    x: jax.Array,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    *,
    key: jax.Array | None = None,
    samples: jax.Array | None = None,
) -> Any:
    """Takes maxima of windows at pseudo-random steps. Follows `torch.nn.functional.fractional_max_pool2d`.

    Window i starts at `int((i + u) a) - int(u a)`, `a = (in - kernel) / (out - 1)`, u uniform in [0, 1).

    Args:
        x: floats of shape (..., H, W, C).
        kernel_size: size of the window, in elements: one number or one per axis.
        output_size: the size after pooling, in elements: one number or one per axis.
        output_ratio: or the size after pooling as a part of the size before, between 0 and 1.
        return_indices: whether to return also where each maximum was.
        key: PRNG key for u; needed unless `samples` are given. It is used in evaluation too, as in torch.
        samples: u, of shape (..., C, 2): torch's `_random_samples`, in its order (W, H).

    Output: (..., H_out, W_out, C), or (values, int32 indices).

    Raises:
        OptionError, ShapeError, DtypeError, CallError: options that do not fit, x too small, no key.

    >>> y = fractional_max_pool2d(jnp.ones((9, 9, 3)), 2, output_size=5, key=jax.random.key(0))
    >>> y.shape
    (5, 5, 3)
    """
    options = fractional_options(2, kernel_size, output_size, output_ratio)
    return _fractional(x, 2, options, return_indices, key, samples)


def fractional_max_pool3d(
    x: jax.Array,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    *,
    key: jax.Array | None = None,
    samples: jax.Array | None = None,
) -> Any:
    """Takes maxima of windows at pseudo-random steps. Follows `torch.nn.functional.fractional_max_pool3d`.

    Window i starts at `int((i + u) a) - int(u a)`, `a = (in - kernel) / (out - 1)`, u uniform in [0, 1).

    Args:
        x: floats of shape (..., D, H, W, C).
        kernel_size: size of the window, in elements: one number or one per axis.
        output_size: the size after pooling, in elements: one number or one per axis.
        output_ratio: or the size after pooling as a part of the size before, between 0 and 1.
        return_indices: whether to return also where each maximum was.
        key: PRNG key for u; needed unless `samples` are given. It is used in evaluation too, as in torch.
        samples: u, of shape (..., C, 3): torch's `_random_samples`, in its order (D, H, W).

    Output: (..., D_out, H_out, W_out, C), or (values, int32 indices).

    Raises:
        OptionError, ShapeError, DtypeError, CallError: options that do not fit, x too small, no key.

    >>> y = fractional_max_pool3d(jnp.ones((9, 9, 9, 3)), 2, output_size=5, key=jax.random.key(0))
    >>> y.shape
    (5, 5, 5, 3)
    """
    options = fractional_options(3, kernel_size, output_size, output_ratio)
    return _fractional(x, 3, options, return_indices, key, samples)
