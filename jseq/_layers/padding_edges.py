"""Padding of sequences, images and volumes with what they hold: mirrored, repeated, or from the other end."""

from jseq._layers.padding import Sides, padded
from jseq.core import layer


@layer
def reflection_pad1d(padding: Sides):
    """Pads sequences with their mirror image; the edge itself is not repeated.

    Args:
        padding: steps on every side, or (left, right); negative numbers crop.

    Input: `(..., T, C)`.
    Output: `(..., T', C)`, `T' = left + T + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or the padding is not smaller than the axis.

    Follows `torch.nn.ReflectionPad1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 2.0, 3.0])[:, None]
        >>> jseq.reflection_pad1d((1, 2)).apply((), x)[:, 0]
        Array([2., 1., 2., 3., 2., 1.], dtype=float32)
    """
    return padded(1, padding, "reflect")


@layer
def reflection_pad2d(padding: Sides):
    """Pads images with their mirror image; the edge itself is not repeated.

    Args:
        padding: pixels on every side, or (left, right, top, bottom); negative numbers crop.

    Input: `(..., H, W, C)`.
    Output: `(..., H', W', C)`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or the padding is not smaller than the axis.

    Follows `torch.nn.ReflectionPad2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.reflection_pad2d((1, 2, 0, 1)).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 5, 8, 3)
    """
    return padded(2, padding, "reflect")


@layer
def reflection_pad3d(padding: Sides):
    """Pads volumes with their mirror image; the edge itself is not repeated.

    Args:
        padding: voxels on every side, or (left, right, top, bottom, front, back); negative numbers crop.

    Input: `(..., D, H, W, C)`.
    Output: `(..., D', H', W', C)`, `D' = front + D + back`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or the padding is not smaller than the axis.

    Follows `torch.nn.ReflectionPad3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.reflection_pad3d(1).apply((), jnp.ones((8, 3, 4, 5, 2))).shape
        (8, 5, 6, 7, 2)
    """
    return padded(3, padding, "reflect")


@layer
def replication_pad1d(padding: Sides):
    """Pads sequences by repeating the edge.

    Args:
        padding: steps on every side, or (left, right); negative numbers crop.

    Input: `(..., T, C)`.
    Output: `(..., T', C)`, `T' = left + T + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or nothing is left of an axis.

    Follows `torch.nn.ReplicationPad1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 2.0, 3.0])[:, None]
        >>> jseq.replication_pad1d((1, 2)).apply((), x)[:, 0]
        Array([1., 1., 2., 3., 3., 3.], dtype=float32)
    """
    return padded(1, padding, "replicate")


@layer
def replication_pad2d(padding: Sides):
    """Pads images by repeating the edge.

    Args:
        padding: pixels on every side, or (left, right, top, bottom); negative numbers crop.

    Input: `(..., H, W, C)`.
    Output: `(..., H', W', C)`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or nothing is left of an axis.

    Follows `torch.nn.ReplicationPad2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.replication_pad2d((1, 2, 0, 1)).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 5, 8, 3)
    """
    return padded(2, padding, "replicate")


@layer
def replication_pad3d(padding: Sides):
    """Pads volumes by repeating the edge.

    Args:
        padding: voxels on every side, or (left, right, top, bottom, front, back); negative numbers crop.

    Input: `(..., D, H, W, C)`.
    Output: `(..., D', H', W', C)`, `D' = front + D + back`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or nothing is left of an axis.

    Follows `torch.nn.ReplicationPad3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.replication_pad3d(1).apply((), jnp.ones((8, 3, 4, 5, 2))).shape
        (8, 5, 6, 7, 2)
    """
    return padded(3, padding, "replicate")


@layer
def circular_pad1d(padding: Sides):
    """Pads sequences with what stands at the other end.

    Args:
        padding: steps on every side, or (left, right); negative numbers crop.

    Input: `(..., T, C)`.
    Output: `(..., T', C)`, `T' = left + T + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or the padding is larger than the axis.

    Follows `torch.nn.CircularPad1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 2.0, 3.0])[:, None]
        >>> jseq.circular_pad1d((1, 2)).apply((), x)[:, 0]
        Array([3., 1., 2., 3., 1., 2.], dtype=float32)
    """
    return padded(1, padding, "circular")


@layer
def circular_pad2d(padding: Sides):
    """Pads images with what stands at the other end.

    Args:
        padding: pixels on every side, or (left, right, top, bottom); negative numbers crop.

    Input: `(..., H, W, C)`.
    Output: `(..., H', W', C)`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or the padding is larger than the axis.

    Follows `torch.nn.CircularPad2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.circular_pad2d((1, 2, 0, 1)).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 5, 8, 3)
    """
    return padded(2, padding, "circular")


@layer
def circular_pad3d(padding: Sides):
    """Pads volumes with what stands at the other end.

    Args:
        padding: voxels on every side, or (left, right, top, bottom, front, back); negative numbers crop.

    Input: `(..., D, H, W, C)`.
    Output: `(..., D', H', W', C)`, `D' = front + D + back`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or the padding is larger than the axis.

    Follows `torch.nn.CircularPad3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.circular_pad3d(1).apply((), jnp.ones((8, 3, 4, 5, 2))).shape
        (8, 5, 6, 7, 2)
    """
    return padded(3, padding, "circular")
