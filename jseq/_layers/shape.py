"""Layers that move axes and change shapes."""

import math

import jax
import jax.numpy as jnp

from jseq.core import layer, no_params
from jseq.errors import OptionError, ShapeError, describe, expect_array
from jseq.functional.activation_softmax import check_axis


@layer
def flatten(start_dim: int = 1, end_dim: int = -1):
    """Flattens the axes from `start_dim` to `end_dim`, both included, into one.

    The default keeps axis 0, as torch's does. `flatten(-3)` flattens the last three axes, and so works
    with and without batch axes: use it for models that you `vmap`.

    Args:
        start_dim: first axis to flatten.
        end_dim: last axis to flatten.

    Input: `(..., a, b, c)`.
    Output: `(..., a * b * c)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axes.

    Follows `torch.nn.Flatten`. Channels are last here, so a flattened image has another order than in
    torch; `docs/how-to/coming-from-torch.md` says what that means for weights.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.flatten().apply((), jnp.ones((8, 4, 4, 3))).shape
        (8, 48)
        >>> jseq.flatten(-3).apply((), jnp.ones((4, 4, 3))).shape
        (48,)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_array(x)
        rank = max(x.ndim, 1)
        first, last = start_dim % rank, end_dim % rank
        if not (-rank <= start_dim < rank and -rank <= end_dim < rank and first <= last):
            hint = " Without a batch axis use flatten(-3)." if start_dim == 1 else ""
            raise ShapeError(f"expected x with axes {start_dim} to {end_dim}, got {describe(x)}.{hint}")
        shape = x.shape or (1,)
        return jnp.reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))

    return no_params, apply


@layer
def unflatten(dim: int, unflattened_size: tuple[int, ...]):
    """Splits one axis into several, the first varying slowest: the inverse of `flatten`.

    Args:
        dim: the axis; counted from the end (-1: the features) it works with and without batch axes.
        unflattened_size: its new sizes; one of them may be -1, which takes what is left.

    Input: `(..., a * b, ...)`.
    Output: `(..., a, b, ...)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis, or its size is not the product of the new ones.
        OptionError: a size is no whole number of at least 1, or two are -1.

    Follows `torch.nn.Unflatten`. To split the channels of an image, which torch has at axis 1, use `dim=-1`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.unflatten(-1, (4, -1)).apply((), jnp.ones((8, 12))).shape
        (8, 4, 3)
    """
    check_sizes("unflattened_size", unflattened_size)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_array(x)
        check_axis(x, dim)
        axis = dim % x.ndim
        return regroup(x, axis, axis + 1, unflattened_size)

    return no_params, apply


@layer
def reshape(shape: tuple[int, ...], start_dim: int = 1):
    """Gives the axes from `start_dim` on another shape.

    The default keeps axis 0, as that of `flatten` does. `reshape(shape, -3)` reshapes the last three axes,
    and so works with and without batch axes: use it for models that you `vmap`.

    Args:
        shape: the new sizes; one of them may be -1, which takes what is left.
        start_dim: first axis to reshape; all from there on are.

    Input: `(..., a, b, c)`.
    Output: `(..., *shape)`, with the numbers in the same order.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis, or the sizes do not fit.
        OptionError: a size is no whole number of at least 1, or two are -1.

    torch has `torch.reshape` and no module.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.reshape((2, -1)).apply((), jnp.ones((8, 4, 6))).shape
        (8, 2, 12)
        >>> jseq.reshape((2, -1), -2).apply((), jnp.ones((4, 6))).shape
        (2, 12)
    """
    check_sizes("shape", shape)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_array(x)
        check_axis(x, start_dim)
        return regroup(x, start_dim % x.ndim, x.ndim, shape)

    return no_params, apply


@layer
def permute(dims: tuple[int, ...]):
    """Puts axes in another order: axis i of y is axis `dims[i]` of x.

    Args:
        dims: an order of the last axes, counted from the end: `permute((-1, -3, -2))` makes `(..., C, H, W)` of
            `(..., H, W, C)` and leaves the axes before them. Counted from the front (`(0, 2, 1)`), an order
            of all axes.

    Input: `(..., a, b, c)`.
    Output: the same numbers with the axes moved.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or not as many as an order of all axes names.
        OptionError: `dims` is no order of axes.

    torch has `torch.permute` and no module.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.permute((-1, -3, -2)).apply((), jnp.ones((8, 32, 24, 3))).shape
        (8, 3, 32, 24)
    """
    order = sorted(dims) if isinstance(dims, tuple) and all(isinstance(dim, int) for dim in dims) else []
    n = len(order)
    from_end = order == list(range(-n, 0))
    if n == 0 or not (from_end or order == list(range(n))):
        raise OptionError(f"dims must be an order of -n, ..., -1 or of 0, ..., n - 1, got {dims!r}.")

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_array(x)
        lead = x.ndim - n
        if lead < 0 or (lead and not from_end):
            raise ShapeError(f"expected x of {'at least ' if from_end else ''}{n} axes, got {describe(x)}.")
        return jnp.transpose(x, (*range(lead), *(lead + dim % n for dim in dims)))

    return no_params, apply


@layer
def take(index: int, axis: int):
    """Takes one entry along an axis, which disappears: `y = x[..., index, :]` for axis -2.

    `take(-1, -2)` is the last step of a sequence `(..., T, C)`.

    Args:
        index: the entry; counted from the end if negative.
        axis: the axis; counted from the end it works with and without batch axes.

    Input: `(..., n, ...)`.
    Output: the same without that axis.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis or entry.
        OptionError: index is no whole number.

    Follows `torch.Tensor.select(axis, index)`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.take(-1, -2).apply((), jnp.ones((8, 5, 3))).shape
        (8, 3)
    """
    if isinstance(index, bool) or not isinstance(index, int):
        raise OptionError(f"index must be a whole number, got {index!r}.")

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_array(x)
        check_axis(x, axis)
        if not -x.shape[axis] <= index < x.shape[axis]:
            raise ShapeError(f"expected x with an entry {index} along axis {axis}, got {describe(x)}.")
        return jax.lax.index_in_dim(x, index, axis, keepdims=False)

    return no_params, apply


def check_sizes(name: str, sizes: tuple[int, ...]) -> None:
    """Refuses sizes that are no tuple of whole numbers from 1, or -1 once."""
    whole = isinstance(sizes, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in sizes)
    if not whole or not sizes or any(n < 1 and n != -1 for n in sizes) or sizes.count(-1) > 1:
        raise OptionError(f"{name} must be a tuple of sizes of at least 1, one of which may be -1, got {sizes!r}.")


def regroup(x: jax.Array, first: int, end: int, sizes: tuple[int, ...]) -> jax.Array:
    """Gives the axes from `first` up to `end` these sizes."""
    total, known = math.prod(x.shape[first:end]), math.prod(n for n in sizes if n != -1)
    if total % known if -1 in sizes else total != known:
        raise ShapeError(f"expected x with axes {first} to {end - 1} that fill {sizes}, got {describe(x)}.")
    filled = (total // known if n == -1 else n for n in sizes)
    return jnp.reshape(x, (*x.shape[:first], *filled, *x.shape[end:]))
