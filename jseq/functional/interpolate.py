"""Resizing of spatial axes, with the modes and the source positions of torch."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jseq.errors import OptionError, ShapeError, describe, expect_float, expect_rank
from jseq.functional.adaptive_pooling import adaptive_average
from jseq.functional.average_pooling import accumulator
from jseq.functional.pool_windows import FORMS, Size
from jseq.functional.resample import resample
from jseq.functional.windows import per_axis

# How many spatial axes a mode is made for; the others take any number.
_AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")


class Resize(NamedTuple):
    """The options of an interpolation, checked: either the sizes or the factors are given."""

    n: int
    size: tuple[int, ...] | None
    factors: tuple[float, ...] | None
    mode: str
    align_corners: bool
    recompute: bool


def _factors(scale_factor: float | Sequence[float], n: int) -> tuple[float, ...]:
    many = isinstance(scale_factor, (list, tuple))
    factors: tuple[float, ...] = tuple(scale_factor) if many else (scale_factor,) * n  # type: ignore[assignment]
    if len(factors) != n:
        raise OptionError(f"scale_factor must be one number or {n} of them, got {scale_factor!r}.")
    for v in factors:
        if isinstance(v, bool) or not isinstance(v, (int, float)) or not 0 < v < math.inf:
            raise OptionError(f"scale_factor must be a positive number, got {scale_factor!r}.")
    return tuple(float(v) for v in factors)


def _check_mode(n: int, mode: str, align_corners: bool | None) -> None:
    fitting = [m for m in _MODES if _AXES.get(m, n) == n]
    if mode not in fitting:
        raise OptionError(f"mode must be one of {fitting} for {n} spatial axes, got {mode!r}.")
    if align_corners is not None and mode not in _AXES:
        raise OptionError(
            f"align_corners is only for the modes linear, bilinear, bicubic and trilinear, "
            f"got align_corners={align_corners} with mode={mode!r}. Leave it None."
        )


def resize_options(
    n: int,
    size: Size | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Resize:
    """Returns the options of an interpolation over `n` axes, checked.

    Raises:
        OptionError: a mode that does not fit, both or neither of size and scale_factor, and so on.

    >>> resize_options(2, scale_factor=2).factors
    (2.0, 2.0)
    """
    if n not in FORMS:
        raise OptionError(f"the number of spatial axes must be 1, 2 or 3, got {n!r}.")
    _check_mode(n, mode, align_corners)
    if (size is None) == (scale_factor is None):
        raise OptionError(
            f"expected one of size and scale_factor, got size={size!r} and scale_factor={scale_factor!r}."
        )
    if size is not None and recompute_scale_factor:
        raise OptionError("recompute_scale_factor needs scale_factor, got size. Leave it None.")
    sizes = None if size is None else per_axis(size, n, "size")
    factors = None if scale_factor is None else _factors(scale_factor, n)
    return Resize(n, sizes, factors, mode, bool(align_corners), bool(recompute_scale_factor))


def _positions(size: int, count: int, factor: float | None, align_corners: bool) -> np.ndarray:
    """Returns where each output lies between the inputs, before any clamping."""
    outputs = np.arange(count, dtype=np.float64)
    if align_corners:
        return outputs * ((size - 1) / (count - 1) if count > 1 else 0.0)
    return (outputs + 0.5) * (size / count if factor is None else 1.0 / factor) - 0.5


def _matrix(size: int, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the (outputs, inputs) matrix; columns beyond the ends read the last element there."""
    matrix = np.zeros((columns.shape[0], size))
    np.add.at(matrix, (np.arange(len(columns))[:, None], np.clip(columns, 0, size - 1)), weights)
    return matrix


def _nearest(size: int, count: int, factor: float | None, exact: bool) -> np.ndarray:
    # torch computes this position in float32 whatever the input, and so decides ties between pixels
    scale = np.float32(size) / np.float32(count) if factor is None else np.float32(1.0 / factor)
    outputs = np.arange(count, dtype=np.float32)
    source = np.floor((outputs + np.float32(0.5)) * scale if exact else outputs * scale)
    return np.minimum(source.astype(np.int64), size - 1)


def _linear(size: int, count: int, factor: float | None, align_corners: bool) -> np.ndarray:
    source = np.maximum(_positions(size, count, factor, align_corners), 0.0)
    low = np.minimum(np.floor(source), size - 1)
    part = np.minimum(source - low, 1.0)
    columns = np.stack([low, low + 1], 1).astype(np.int64)
    return _matrix(size, columns, np.stack([1 - part, part], 1))


def _cubic(size: int, count: int, factor: float | None, align_corners: bool) -> np.ndarray:
    """Keys' cubic convolution with a = -0.75, as torch and OpenCV choose it."""
    a = -0.75
    source = _positions(size, count, factor, align_corners)
    low = np.floor(source)
    distance = np.abs(source[:, None] - (low[:, None] + np.arange(-1, 3)))
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    columns = (low[:, None] + np.arange(-1, 3)).astype(np.int64)
    return _matrix(size, columns, np.where(distance <= 1, near, far))


def _repeat(x: jax.Array, axis: int, source: np.ndarray) -> jax.Array:
    """Takes the source elements along an axis."""
    size, count = x.shape[axis], len(source)
    if count % size == 0 and np.array_equal(source, np.arange(count) // (count // size)):
        y = jnp.broadcast_to(jnp.expand_dims(x, axis + 1), (*x.shape[: axis + 1], count // size, *x.shape[axis + 1 :]))
        return y.reshape(*x.shape[:axis], count, *x.shape[axis + 1 :])
    return resample(x, axis, (source[:, None] == np.arange(size)).astype(np.float64))


def _resize_axis(x: jax.Array, axis: int, count: int, factor: float | None, options: Resize) -> jax.Array:
    size, mode = x.shape[axis], options.mode
    if mode in ("nearest", "nearest-exact"):
        return _repeat(x, axis, _nearest(size, count, factor, mode == "nearest-exact"))
    if size == count and (factor is None or factor == 1.0):
        return x
    build: Callable[..., np.ndarray] = _cubic if mode == "bicubic" else _linear
    return resample(x, axis, build(size, count, factor, options.align_corners))


def interpolate(
    x: jax.Array,
    n: int,
    size: Size | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> jax.Array:
    """Resizes the `n` axes before the channels. Equal to `torch.nn.functional.interpolate`.

    Output o lies at input `(o + 1/2) / scale - 1/2`, or at `o (in - 1) / (out - 1)` with align_corners.

    Args:
        x: floats of shape (..., T, C), (..., H, W, C) or (..., D, H, W, C).
        n: how many spatial axes there are: 1, 2 or 3.
        size: their sizes after it, in elements: one number or one per axis.
        scale_factor: or how many times larger they become, rounded down to whole elements.
        mode: "nearest", "nearest-exact", "area", or by n: "linear", "bilinear" or "bicubic", "trilinear".
        align_corners: whether the centres of the corner elements meet, and not their outer edges.
        recompute_scale_factor: whether the positions follow from the rounded sizes and not scale_factor.

    Output: x with the new sizes.

    Raises:
        OptionError, ShapeError, DtypeError: options that do not fit, x of too few axes or of integers.

    >>> interpolate(jnp.array([[1.0], [2.0]]), 1, scale_factor=2)[:, 0]
    Array([1., 1., 2., 2.], dtype=float32)
    >>> interpolate(jnp.array([[1.0], [2.0]]), 1, size=3, mode="linear", align_corners=True)[:, 0]
    Array([1. , 1.5, 2. ], dtype=float32)
    """
    options = resize_options(n, size, scale_factor, mode, align_corners, recompute_scale_factor)
    expect_rank(x, n + 1, FORMS[n])
    expect_float(x)
    sizes, factors = x.shape[-1 - n : -1], options.factors
    counts = options.size
    if counts is None:
        assert factors is not None
        counts = tuple(int(s * f) for s, f in zip(sizes, factors, strict=True))
    if min(*sizes, *counts) < 1:
        raise ShapeError(f"expected x of shape {FORMS[n]}, got {describe(x)}, which resizes to {counts}.")
    if mode == "area":
        return adaptive_average(x, n, counts)
    used = (None,) * n if factors is None or options.recompute else factors
    # half precision is rounded once, at the end
    y = x.astype(accumulator(x.dtype))
    for i, (count, factor) in enumerate(zip(counts, used, strict=True)):
        y = _resize_axis(y, x.ndim - 1 - n + i, count, factor, options)
    return y.astype(x.dtype)
