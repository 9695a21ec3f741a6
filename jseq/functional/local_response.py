"""Local response normalisation: division by the energy of the neighbouring channels."""

import jax
import jax.numpy as jnp

from jseq.errors import OptionError, expect_rank
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen


def check_size(size: int) -> None:
    """Refuses a window of no channels."""
    if not (isinstance(size, int) and size >= 1):
        raise OptionError(f"expected size, the number of channels of the window, at least 1, got {size!r}.")


def _window_sum(x: jax.Array, before: int, after: int) -> jax.Array:
    """Sums the channels from c - before to c + after, those outside counting as 0."""
    channels = x.shape[-1]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])
    total = padded[..., :channels]
    for shift in range(1, before + after + 1):
        total = total + padded[..., shift : shift + channels]
    return total


def local_response_norm(x: jax.Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> jax.Array:
    """Divides by the energy around each channel: y_c = x_c / (k + alpha / size * sum_j x_j^2)^beta.

    j runs over `size` channels from c - size // 2 on; channels outside count as 0.

    Args: size: width of the window. alpha: weight of the energy. beta: exponent. k: added to the energy.
    Input: (..., C), floating. Output: the same shape and dtype.
    Raises: OptionError if size < 1; DtypeError for integers.
    Follows `torch.nn.functional.local_response_norm` with the channels last (Krizhevsky et al. 2012).

    >>> local_response_norm(jnp.array([1.0, 1.0, 1.0]), 2, alpha=2.0, beta=1.0).tolist()
    [0.5, 0.3333333432674408, 0.3333333432674408]
    """
    check_size(size)
    x = floating(x)
    expect_rank(x, 1, "(..., C)")
    wide = widen(x)
    energy = _window_sum(wide * wide, size // 2, (size - 1) // 2)
    return (wide / (k + alpha / size * energy) ** beta).astype(x.dtype)


def cross_map_lrn2d(x: jax.Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> jax.Array:
    """Divides images by the energy around each channel: y_c = x_c * (k + alpha / size * s_c)^-beta.

    With h = (size + 1) // 2 (rounded down), s_c is the sum of x_j^2 for |j - c| < h, and from c = h on
    x_0^2 as well: torch's module subtracts what leaves its moving window, but never channel 0. An even
    size sums size - 1 channels. Values equal torch's; the derivative is that of these values, where
    torch's backward pass takes a window that is moved by one channel.

    Args: size: width of the window. alpha: weight of the energy. beta: exponent. k: added to the energy.
    Input: (..., H, W, C), floating. Output: the same shape and dtype.
    Raises: OptionError if size < 1; ShapeError for fewer than three axes; DtypeError for integers.
    Follows `torch.nn.CrossMapLRN2d` with the channels last.

    >>> cross_map_lrn2d(jnp.ones((1, 1, 4)), 3, alpha=3.0, beta=1.0).round(3).tolist()
    [[[0.3330000042915344, 0.25, 0.20000000298023224, 0.25]]]
    """
    check_size(size)
    x = floating(x)
    expect_rank(x, 3, "(..., H, W, C)")
    wide = widen(x)
    square, half = wide * wide, (size + 1) // 2
    kept = jnp.reshape(jnp.arange(x.shape[-1]) >= half, (1,) * (x.ndim - 1) + (-1,))
    first = jnp.broadcast_to(square[..., :1], square.shape)
    energy = _window_sum(square, half - 1, half - 1) + jnp.where(kept, first, jnp.zeros_like(square))
    return (wide * (k + alpha / size * energy) ** -beta).astype(x.dtype)
