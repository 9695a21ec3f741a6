"""Resizing of sequences, images and volumes."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.errors import OptionError
from jseq.functional.interpolate import resize_options

Size = int | tuple[int, ...]
Factor = float | tuple[float, ...]

# How many spatial axes a mode says that x has.
AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


@layer
def upsample(
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    spatial_dims: int | None = None,
):
    """Resizes the spatial axes: `y[o]` is x at `(o + 1/2) / scale_factor - 1/2`, interpolated as `mode` says.

    With `align_corners` it is x at `o * (in - 1) / (out - 1)`: the corners meet. "nearest" takes
    `x[floor(o / scale_factor)]`, "nearest-exact" `x[floor((o + 1/2) / scale_factor)]`, and "area" the mean of
    what lies under o, as `adaptive_avg_pool2d` does.

    Args:
        size: new size of the spatial axes, in elements: a number, or one for each axis.
        scale_factor: or how many times larger they become, rounded down to whole elements.
        mode: "nearest", "nearest-exact", "area", "linear" (sequences), "bilinear", "bicubic" (images) or
            "trilinear" (volumes).
        align_corners: whether the centres of the corner elements meet, and not their outer edges; None is False.
        recompute_scale_factor: whether positions follow from the rounded sizes and not from `scale_factor`.
        spatial_dims: how many axes before the channels are spatial. None: as many as the mode is made for, and 2
            for "nearest", "nearest-exact" and "area". (torch guesses it from the rank.)

    Input: `(..., T, C)`, `(..., H, W, C)` or `(..., D, H, W, C)`, floating.
    Output: the same with the new sizes, of x's dtype; half precision is added up in float32.
    Params: none, `()`.

    Raises:
        OptionError: both or neither of `size` and `scale_factor`, an unknown mode, `align_corners` or
            `spatial_dims` that do not fit the mode.
        ShapeError: x has too few axes, or nothing is left of one.
        DtypeError: x is not floating.

    Follows `torch.nn.Upsample`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.upsample(scale_factor=2).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 8, 10, 3)
        >>> jseq.upsample(3, mode="linear", align_corners=True).apply((), jnp.array([[1.0], [2.0]]))[:, 0]
        Array([1. , 1.5, 2. ], dtype=float32)
    """
    n = AXES.get(mode, 2) if spatial_dims is None else spatial_dims
    return resized(n, size, scale_factor, mode, align_corners, recompute_scale_factor)


@layer
def upsampling_nearest2d(size: Size | None = None, scale_factor: Factor | None = None):
    """Enlarges images by repeating pixels: output o reads the input at `floor(o / scale_factor)`.

    Args:
        size: new size, in pixels: a number, or one for each of H and W.
        scale_factor: or how many times larger the image becomes: a number, or one for each of H and W.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., H', W', C)`, of x's dtype.
    Params: none, `()`.

    Raises:
        OptionError: both or neither of `size` and `scale_factor`.
        ShapeError: x has too few axes, or nothing is left of one.
        DtypeError: x is not floating.

    Follows `torch.nn.UpsamplingNearest2d`; `upsample(size, scale_factor)` is the same.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.upsampling_nearest2d(scale_factor=2).apply((), jnp.array([[[1.0], [2.0]]]))[..., 0]
        Array([[1., 1., 2., 2.],
               [1., 1., 2., 2.]], dtype=float32)
    """
    return resized(2, size, scale_factor, "nearest")


@layer
def upsampling_bilinear2d(size: Size | None = None, scale_factor: Factor | None = None):
    """Enlarges images bilinearly: output o reads the input at `o * (in - 1) / (out - 1)`; corners meet.

    Args:
        size: new size, in pixels: a number, or one for each of H and W.
        scale_factor: or how many times larger the image becomes: a number, or one for each of H and W.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., H', W', C)`, of x's dtype.
    Params: none, `()`.

    Raises:
        OptionError: both or neither of `size` and `scale_factor`.
        ShapeError: x has too few axes, or nothing is left of one.
        DtypeError: x is not floating.

    Follows `torch.nn.UpsamplingBilinear2d`; it aligns corners, which `upsample(mode="bilinear")` does not.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.upsampling_bilinear2d((1, 3)).apply((), jnp.array([[[1.0], [2.0]]]))[..., 0]
        Array([[1. , 1.5, 2. ]], dtype=float32)
    """
    return resized(2, size, scale_factor, "bilinear", True)


def resized(
    n: int,
    size: Size | None,
    scale_factor: Factor | None,
    mode: str,
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Any:
    """The pair of the resizing layers; `n` is the number of spatial axes."""
    if type(n) is not int or n not in (1, 2, 3):
        raise OptionError(f"spatial_dims must be 1, 2 or 3, got {n!r}.")
    resize_options(n, size, scale_factor, mode, align_corners, recompute_scale_factor)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.interpolate(x, n, size, scale_factor, mode, align_corners, recompute_scale_factor)

    return no_params, apply
