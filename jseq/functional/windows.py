"""Window options shared by convolution, pooling, padding and fold: one number or one per axis."""

import operator
from collections.abc import Sequence

import jax

from jseq.errors import OptionError, ShapeError, describe, expect_array

# "same", "valid", one number, one number per axis, or one (low, high) pair per axis.
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]

# (low, high) for each axis.
Pairs = tuple[tuple[int, int], ...]


def _integer(value: object, name: str, shown: object) -> int:
    """Returns the Python int behind an int or a numpy integer; booleans are no numbers here."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise OptionError(f"{name} must be an integer or a tuple of integers, got {shown!r}.") from None


def per_axis(value: int | Sequence[int], n: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """Returns one integer for each of `n` axes from one number or a sequence of `n`.

    Args:
        value: one integer for all axes, or one per axis.
        n: how many axes there are.
        name: what the option is called, for the error.
        minimum: the smallest value allowed.

    Raises:
        OptionError: `value` is no integer, has the wrong length, or is too small.

    >>> per_axis(3, 2, "kernel_size"), per_axis([1, 0], 2, "padding", minimum=0)
    ((3, 3), (1, 0))
    """
    if isinstance(value, (list, tuple)):
        if len(value) != n:
            raise OptionError(f"{name} must be one integer or {n} of them, got {value!r}.")
        numbers = tuple(_integer(v, name, value) for v in value)
    else:
        numbers = (_integer(value, name, value),) * n
    if any(v < minimum for v in numbers):
        raise OptionError(f"{name} must be at least {minimum}, got {value!r}.")
    return numbers


def check_padding(padding: Padding, n: int, stride: int | Sequence[int] = 1) -> None:
    """Refuses padding that cannot be, before the kernel is known; "same" needs stride 1, as in torch.

    >>> check_padding("same", 2, stride=2)
    Traceback (most recent call last):
        ...
    jseq.errors.OptionError: padding="same" needs stride 1, got stride (2, 2).
    """
    resolve_padding(padding, (1,) * n, per_axis(stride, n, "stride"), (1,) * n)


def resolve_padding(
    padding: Padding, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Returns (low, high) padding of each axis.

    `"same"` pads `dilation * (kernel - 1)` in all; when that is odd, the high end gets one more, as in
    `torch.nn.Conv2d`. An integer pads both ends alike.

    Raises:
        OptionError: an unknown name, "same" with a stride, a wrong length, or a negative number.

    >>> resolve_padding("same", (4, 3), (1, 1), (1, 1)), resolve_padding(2, (4, 3), (1, 1), (1, 1))
    (((1, 2), (1, 1)), ((2, 2), (2, 2)))
    """
    n = len(kernel)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise OptionError(f'padding must be "same", "valid", integers or pairs, got {padding!r}.')
        if padding == "valid":
            return ((0, 0),) * n
        if any(s != 1 for s in stride):
            raise OptionError(f'padding="same" needs stride 1, got stride {tuple(stride)!r}.')
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, (list, tuple)) and any(isinstance(p, (list, tuple)) for p in padding):
        if len(padding) != n or not all(isinstance(p, (list, tuple)) for p in padding):
            raise OptionError(f"padding must have one (low, high) pair for each of {n} axes, got {padding}.")
        pairs = [per_axis(p, 2, "each padding pair", minimum=0) for p in padding]  # type: ignore[arg-type]
        return tuple((low, high) for low, high in pairs)
    return tuple((p, p) for p in per_axis(padding, n, "padding", minimum=0))  # type: ignore[arg-type]


def window_sizes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> tuple[int, ...]:
    """Returns how many windows fit on each axis; less than one means that the window is too large.

    `(size + low + high - dilation * (kernel - 1) - 1) // stride + 1`, as in the docs of torch.nn.Conv2d.

    >>> window_sizes((28, 28), (3, 5), (2, 1), (1, 1), ((1, 1), (0, 0)))
    (14, 24)
    """
    axes = zip(sizes, kernel, stride, dilation, padding, strict=True)
    return tuple((n + low + high - d * (k - 1) - 1) // s + 1 for n, k, s, d, (low, high) in axes)


def padded_sizes(sizes: Sequence[int], padding: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Returns the sizes after padding.

    >>> padded_sizes((28, 28), ((1, 1), (0, 2)))
    (30, 30)
    """
    return tuple(n + low + high for n, (low, high) in zip(sizes, padding, strict=True))


def spatial_form(n: int, channels: int | str = "C") -> str:
    """Returns the shape to show in errors for `n` spatial axes.

    >>> spatial_form(2), spatial_form(1, 3)
    ('(..., H, W, C)', '(..., T, 3)')
    """
    axes = {0: "", 1: "T, ", 2: "H, W, ", 3: "D, H, W, "}.get(n, f"{n} spatial axes, ")
    return f"(..., {axes}{channels})"


def expect_spatial(x: jax.Array, n: int, channels: int | None = None) -> None:
    """Refuses x without `n` spatial axes and a channel axis behind them, of size `channels` if given.

    The error names the call that works: x[..., None] where the channel axis seems to be missing,
    jnp.moveaxis where the channels seem to come first.

    Raises:
        ShapeError: the axes are too few, or the channels are not `channels`.

    >>> import jax.numpy as jnp
    >>> expect_spatial(jnp.zeros((8, 3, 32, 32)), 2, 3)
    Traceback (most recent call last):
        ...
    jseq.errors.ShapeError: expected x of shape (..., H, W, 3), got float32[8,3,32,32]. \
The channels seem to come first: jnp.moveaxis(x, -3, -1).
    """
    form = spatial_form(n, "C" if channels is None else channels)
    expect_array(x, f"an array of shape {form}")
    if x.ndim > n and channels in (None, x.shape[-1]):
        return
    if x.ndim > n and x.shape[-1 - n] == channels:
        fix = f"The channels seem to come first: jnp.moveaxis(x, {-1 - n}, -1)."
    elif channels == 1 or (channels is None and x.ndim == n):
        fix = "Add the channel axis: x[..., None]."
    else:
        fix = "The channels are the last axis."
    raise ShapeError(f"expected x of shape {form}, got {describe(x)}. {fix}")


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Refuses groups that do not divide the channels.

    >>> check_groups(6, 4, 3)
    Traceback (most recent call last):
        ...
    jseq.errors.OptionError: groups must divide both numbers of channels, got groups=3 for 6 and 4.
    """
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise OptionError(
            f"groups must divide both numbers of channels, got groups={groups} for {in_channels} and {out_channels}."
        )


def check_window(x: jax.Array, kernel: Sequence[int], dilation: Sequence[int], padding: Pairs) -> None:
    """Refuses an input that is smaller, once padded, than the window.

    >>> import jax.numpy as jnp
    >>> check_window(jnp.zeros((2, 2, 1)), (3, 3), (1, 1), ((0, 0), (1, 1)))
    Traceback (most recent call last):
        ...
    jseq.errors.ShapeError: expected x at least as large as the window (3, 3), \
got float32[2,2,1], (2, 4) when padded.
    """
    sizes = padded_sizes(x.shape[-1 - len(kernel) : -1], padding)
    window = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(size < span for size, span in zip(sizes, window, strict=True)):
        raise ShapeError(
            f"expected x at least as large as the window {window}, got {describe(x)}, {sizes} when padded."
        )


def expect_window(weight: jax.Array, n: int) -> None:
    """Refuses a weight that is not (*window, in / groups, out) for `n` spatial axes."""
    if weight.ndim != n + 2:
        axes = ", ".join(["time", "height, width", "depth, height, width"][n - 1 : n])
        raise ShapeError(f"expected weight of shape ({axes}, in / groups, out), got {describe(weight)}.")
