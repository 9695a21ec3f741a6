"""Local response normalisation: division by the energy of the neighbouring channels."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.local_response import check_size


@layer
def local_response_norm(size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    """Divides by the energy around each channel: `y[c] = x[c] / (k + alpha / size * sum_j x[j]^2) ^ beta`.

    j runs over `size` channels from `c - size // 2` on; channels outside count as 0.

    Args:
        size: width of the window, in channels.
        alpha: weight of the energy.
        beta: exponent.
        k: added to the energy.

    Input: `(..., C)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.
        OptionError: `size` below 1.

    Follows `torch.nn.LocalResponseNorm`, with the channels last (Krizhevsky et al. 2012).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.local_response_norm(2, alpha=2.0, beta=1.0).apply((), jnp.array([1.0, 1.0]))[:1]
        Array([0.5], dtype=float32)
    """
    check_size(size)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.local_response_norm(x, size, alpha, beta, k)

    return no_params, apply


@layer
def cross_map_lrn2d(size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    """Divides images by the energy around each channel: `y[c] = x[c] * (k + alpha / size * s[c]) ^ -beta`.

    With `h = (size + 1) // 2`, `s[c]` is the sum of `x[j]^2` for `|j - c| < h`, and from `c = h` on of `x[0]^2`
    as well: torch's module never drops channel 0 from its moving window. Values are torch's; the derivative
    is that of these values, where torch's backward pass has a window moved by one channel.
    `local_response_norm` has neither oddity.

    Args:
        size: width of the window, in channels; an even one sums `size - 1` of them.
        alpha: weight of the energy.
        beta: exponent.
        k: added to the energy.

    Input: `(..., H, W, C)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has fewer than three axes.
        DtypeError: x is not floating.
        OptionError: `size` below 1.

    Follows `torch.nn.CrossMapLRN2d`, with the channels last.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.cross_map_lrn2d(3, alpha=3.0, beta=1.0).apply((), jnp.ones((1, 1, 2)))[0, 0] < 0.4
        Array([ True,  True], dtype=bool)
    """
    check_size(size)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.cross_map_lrn2d(x, size, alpha, beta, k)

    return no_params, apply
