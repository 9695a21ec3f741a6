"""Padding of the spatial axes of channels-last arrays: constant, reflect, replicate, circular."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import OptionError, ShapeError, describe
from jseq.functional.windows import Pairs, expect_spatial, per_axis

MODES = ("constant", "zeros", "reflect", "replicate", "circular")


def check_mode(mode: str, modes: Sequence[str] = MODES, name: str = "mode") -> None:
    """Refuses an unknown mode.

    >>> check_mode("mirror")
    Traceback (most recent call last):
        ...
    jseq.errors.OptionError: mode must be one of constant, zeros, reflect, replicate, circular, got 'mirror'.
    """
    if mode not in modes:
        raise OptionError(f"{name} must be one of {', '.join(modes)}, got {mode!r}.")


def pad_pairs(padding: int | Sequence[int], n: int) -> Pairs:
    """Returns the (low, high) padding of each spatial axis, first axis first, from torch's order.

    Args:
        padding: one integer for every side, or 2 n integers, the last axis first:
            (left, right), (left, right, top, bottom), (left, right, top, bottom, front, back).
            Negative numbers crop.
        n: how many spatial axes there are.

    Raises:
        OptionError: `padding` is no integer and not 2 n integers.

    >>> pad_pairs((1, 2, 3, 4), 2)
    ((3, 4), (1, 2))
    """
    sides = per_axis(padding, 2 * n, "padding", minimum=-(2**62))
    return tuple((sides[i], sides[i + 1]) for i in range(2 * n - 2, -1, -2))


def pad(x: jax.Array, padding: int | Sequence[int], n: int, mode: str = "constant", value: float = 0.0) -> jax.Array:
    """Pads the `n` spatial axes in front of the channels; negative padding crops.

    Args:
        x: the input, of any dtype.
        padding: one integer for every side, or 2 n integers in torch's order, the last spatial axis
            first: (left, right, top, bottom, front, back).
        n: how many axes before the last are spatial.
        mode: "constant" (filled with `value`), "zeros", "reflect" (mirrored at the edge, which is not
            repeated), "replicate" (the edge is repeated) or "circular" (taken from the other end).
        value: what to fill with in mode "constant".

    Input: (..., *spatial, C). Output: `(..., *(spatial + low + high), C)`.

    Raises:
        OptionError: an unknown mode or a wrong number of paddings.
        ShapeError: x has too few axes, nothing is left of an axis, or the padding is larger than the
            mode can fill: reflect needs padding < size, circular padding <= size.

    Follows torch.nn.functional.pad and torch.nn.{Zero,Constant,Reflection,Replication,Circular}Pad.

    >>> pad(jnp.arange(4.0)[:, None], 2, 1, mode="reflect")[:, 0]
    Array([2., 1., 0., 1., 2., 3., 2., 1.], dtype=float32)
    """
    check_mode(mode)
    return pad_spatial(x, pad_pairs(padding, n), mode, value)


def pad_spatial(x: jax.Array, pairs: Pairs, mode: str = "constant", value: float = 0.0) -> jax.Array:
    """Pads as `pad` does, given a (low, high) pair for each spatial axis, first axis first.

    >>> pad_spatial(jnp.ones((2, 3, 1)), ((1, 0), (-1, 0))).shape
    (3, 2, 1)
    """
    expect_spatial(x, len(pairs))
    first = x.ndim - 1 - len(pairs)
    for axis, (low, high) in enumerate(pairs, first):
        _check_size(x, axis, low, high, mode)
    if mode in ("constant", "zeros"):
        fill = jnp.asarray(value if mode == "constant" else 0, x.dtype)
        sides = [(low, high, 0) for low, high in pairs]
        return lax.pad(x, fill, [(0, 0, 0)] * first + sides + [(0, 0, 0)])
    for axis, (low, high) in enumerate(pairs, first):
        x = _extend(x, axis, low, high, mode)
    return x


def _check_size(x: jax.Array, axis: int, low: int, high: int, mode: str) -> None:
    size = x.shape[axis]
    smallest = 0 if mode in ("constant", "zeros") else 1
    kept = size + min(low, 0) + min(high, 0)
    place = f"axis {axis - x.ndim} of {describe(x)} is {size}, padded by ({low}, {high})"
    if size + low + high < smallest or kept < 0:
        raise ShapeError(f"expected an axis from which something is left, but {place}.")
    if mode == "reflect" and max(low, high) >= size:
        raise ShapeError(f"reflect needs padding smaller than the axis, but {place}.")
    if mode == "circular" and max(low, high) > kept:
        raise ShapeError(f"circular needs padding no larger than what is left of the axis, but {place}.")
    if mode == "replicate" and size == 0:
        raise ShapeError(f"replicate needs an edge to repeat, but {place}.")


def _extend(x: jax.Array, axis: int, low: int, high: int, mode: str) -> jax.Array:
    """Extends one axis; torch crops before it wraps, and mirrors or repeats before it crops."""
    size = x.shape[axis]
    if mode == "circular":
        x = lax.slice_in_dim(x, max(-low, 0), size - max(-high, 0), axis=axis)
        size = x.shape[axis]
    parts = [_edge(x, axis, max(low, 0), mode, False), x, _edge(x, axis, max(high, 0), mode, True)]
    parts = [part for part in parts if part is not None]
    y = lax.concatenate(parts, axis) if len(parts) > 1 else x
    if mode == "circular" or (low >= 0 and high >= 0):
        return y
    return lax.slice_in_dim(y, max(-low, 0), y.shape[axis] - max(-high, 0), axis=axis)


def _edge(x: jax.Array, axis: int, count: int, mode: str, high: bool) -> jax.Array | None:
    """Returns the `count` entries to put in front of the axis or, if `high`, behind it."""
    if count == 0:
        return None
    size = x.shape[axis]
    if mode == "circular":
        start = 0 if high else size - count
        return lax.slice_in_dim(x, start, start + count, axis=axis)
    if mode == "reflect":
        start = size - 1 - count if high else 1
        return lax.rev(lax.slice_in_dim(x, start, start + count, axis=axis), (axis,))
    edge = lax.slice_in_dim(x, size - 1 if high else 0, size if high else 1, axis=axis)
    return jnp.broadcast_to(edge, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
