"""Rearrangements between channels and space, in the channel order of torch."""

import jax
from jax import lax

from jseq.errors import OptionError, ShapeError, describe, expect_rank
from jseq.functional.windows import per_axis

_FORM = "(..., H, W, C)"


def factor(value: int, name: str) -> int:
    """Returns an option that is one positive integer, checked.

    >>> factor(2, "upscale_factor")
    2
    """
    if isinstance(value, (list, tuple)):
        raise OptionError(f"{name} must be one integer, got {value!r}.")
    return per_axis(value, 1, name)[0]


def _split(x: jax.Array, *sizes: int) -> jax.Array:
    return x.reshape(*x.shape[:-3], *sizes)


def paired(x: jax.Array, axis: int) -> jax.Array:
    """Merges an axis, counted from the last, with the one behind it.

    One pair at a time, as all of these reshapes: beside a batch that is split over a mesh JAX takes no two at once.
    """
    axis += x.ndim
    return x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])


def _swap(x: jax.Array, order: tuple[int, ...]) -> jax.Array:
    """Transposes the last axes: `order` counts from the first of them."""
    lead = x.ndim - len(order)
    return lax.transpose(x, [*range(lead), *(lead + i for i in order)])


def pixel_shuffle(x: jax.Array, upscale_factor: int) -> jax.Array:
    """Moves channels into space: `y[h*r + i, w*r + j, c] = x[h, w, c*r*r + i*r + j]`.

    Equal to `torch.nn.functional.pixel_shuffle` (Shi et al. 2016, arXiv:1609.05158).

    Args:
        x: shape (..., H, W, C * r * r).
        upscale_factor: r, how many times larger the plane becomes on each axis.

    Output: (..., H * r, W * r, C).

    Raises:
        OptionError, ShapeError: r is no positive integer, or r * r does not divide the channels.

    >>> import jax.numpy as jnp
    >>> pixel_shuffle(jnp.arange(4.0).reshape(1, 1, 4), 2)[..., 0]
    Array([[0., 1.],
           [2., 3.]], dtype=float32)
    """
    r = factor(upscale_factor, "upscale_factor")
    expect_rank(x, 3, _FORM)
    height, width, channels = x.shape[-3:]
    if channels % (r * r):
        raise ShapeError(
            f"expected x of shape (..., H, W, C) with C a multiple of {r * r}, got {describe(x)}. "
            f"A convolution to {r * r} times the wanted channels goes before pixel_shuffle({r})."
        )
    y = _swap(_split(x, height, width, channels // (r * r), r, r), (0, 3, 1, 4, 2))
    return paired(paired(y, -5), -3)


def pixel_unshuffle(x: jax.Array, downscale_factor: int) -> jax.Array:
    """Moves space into channels, the inverse of pixel_shuffle.

    `y[h, w, c*r*r + i*r + j] = x[h*r + i, w*r + j, c]`, as `torch.nn.functional.pixel_unshuffle`.

    Args:
        x: shape (..., H * r, W * r, C).
        downscale_factor: r, how many times smaller the plane becomes on each axis.

    Output: (..., H, W, C * r * r).

    Raises:
        OptionError, ShapeError: r is no positive integer, or does not divide the plane.

    >>> import jax.numpy as jnp
    >>> pixel_unshuffle(jnp.arange(4.0).reshape(2, 2, 1), 2)
    Array([[[0., 1., 2., 3.]]], dtype=float32)
    """
    r = factor(downscale_factor, "downscale_factor")
    expect_rank(x, 3, _FORM)
    height, width, channels = x.shape[-3:]
    if height % r or width % r:
        raise ShapeError(
            f"expected x of shape (..., H, W, C) with H and W multiples of {r}, got {describe(x)}. "
            "Pad or crop the plane."
        )
    y = _split(_split(x, height // r, r, width, channels), r, width // r, r, channels)
    y = _swap(y, (0, 2, 4, 1, 3))
    return y.reshape(*x.shape[:-3], height // r, width // r, channels * r * r)


def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Interleaves groups of channels: `y[..., k*groups + g] = x[..., g*(C/groups) + k]`.

    Equal to `torch.nn.functional.channel_shuffle` (ShuffleNet, Zhang et al. 2017, arXiv:1707.01083).

    Args:
        x: shape (..., C).
        groups: how many groups the channels form.

    Output: (..., C).

    Raises:
        OptionError, ShapeError: groups is no positive integer, or does not divide the channels.

    >>> import jax.numpy as jnp
    >>> channel_shuffle(jnp.arange(6), 2)
    Array([0, 3, 1, 4, 2, 5], dtype=int32)
    """
    groups = factor(groups, "groups")
    expect_rank(x, 1, "(..., C)")
    channels = x.shape[-1]
    if channels % groups:
        raise ShapeError(
            f"expected x of shape (..., C) with C a multiple of groups={groups}, got {describe(x)}. "
            "Choose groups that divide the channels."
        )
    return _swap(x.reshape(*x.shape[:-1], groups, channels // groups), (1, 0)).reshape(x.shape)
