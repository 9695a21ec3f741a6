"""Activations made of pieces: rectifiers, exponential units and the hard versions of smooth curves."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.errors import OptionError
from jseq.functional.activation import check_alpha


@layer
def relu6():
    """Keeps what lies between 0 and 6: `y = min(max(x, 0), 6)`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.ReLU6`; the derivative at 0 and 6 is 0.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.relu6().apply((), jnp.array([-1.0, 3.0, 8.0]))
        Array([0., 3., 6.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.relu6(x)

    return no_params, apply


@layer
def hardtanh(min_val: float = -1.0, max_val: float = 1.0):
    """Cuts off at two bounds: `y = min(max(x, min_val), max_val)`.

    Args:
        min_val: the lower bound.
        max_val: the upper bound, larger than the lower.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: `min_val` is not below `max_val`.
        DtypeError: x is not floating.

    Follows `torch.nn.Hardtanh`; the derivative at both bounds is 0.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.hardtanh(0.0, 2.0).apply((), jnp.array([-3.0, 0.5, 3.0]))
        Array([0. , 0.5, 2. ], dtype=float32)
    """
    if not min_val < max_val:  # torch.nn.Hardtanh refuses equal bounds, torch.nn.functional.hardtanh does not
        raise OptionError(f"expected min_val < max_val, got min_val={min_val!r}, max_val={max_val!r}.")

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.hardtanh(x, min_val, max_val)

    return no_params, apply


@layer
def hardsigmoid():
    """Approximates the sigmoid by three lines: `y = min(max(x + 3, 0), 6) / 6`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Hardsigmoid`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.hardsigmoid().apply((), jnp.array([-4.0, 0.0, 4.0]))
        Array([0. , 0.5, 1. ], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.hardsigmoid(x)

    return no_params, apply


@layer
def hardswish():
    """Weighs x by its hard sigmoid: `y = x * min(max(x + 3, 0), 6) / 6`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Hardswish` (Howard et al. 2019, arXiv:1905.02244).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.hardswish().apply((), jnp.array([0.0, 1.5, 4.0]))
        Array([0.   , 1.125, 4.   ], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.hardswish(x)

    return no_params, apply


@layer
def rrelu(lower: float = 1 / 8, upper: float = 1 / 3):
    """Rectifies with a random slope in training: `y = x if x > 0 else a * x`, `a ~ U(lower, upper)`.

    The slope a is drawn for every element. In evaluation it is the mean, `(lower + upper) / 2`.

    Args:
        lower: smallest slope.
        upper: largest slope.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: `lower` is above `upper`.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.RReLU` (Xu et al. 2015, arXiv:1505.00853).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.rrelu(0.25, 0.75)
        >>> layer.apply((), jnp.array([-2.0, 2.0]))
        Array([-1.,  2.], dtype=float32)
        >>> y = layer.apply((), -jnp.ones(1000), key=jax.random.key(0), train=True)
        >>> bool((y >= -0.75).all() & (y <= -0.25).all())
        True
    """
    if lower > upper:
        raise OptionError(f"expected lower <= upper, got lower={lower!r}, upper={upper!r}.")

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        return F.rrelu(x, lower, upper, key=key, train=train)

    return no_params, apply


@layer
def elu(alpha: float = 1.0):
    """Bends what is negative exponentially: `y = x if x > 0 else alpha * (exp(x) - 1)`.

    Args:
        alpha: y falls to -alpha; it is also the slope just below 0.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.ELU` (Clevert et al. 2016, arXiv:1511.07289).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.elu(0.5).apply((), jnp.array([-100.0, 2.0]))
        Array([-0.5,  2. ], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.elu(x, alpha)

    return no_params, apply


@layer
def celu(alpha: float = 1.0):
    """Bends what is negative, with slope 1 at 0: `y = x if x > 0 else alpha * (exp(x / alpha) - 1)`.

    Args:
        alpha: y falls to -alpha; not 0.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: alpha is 0.
        DtypeError: x is not floating.

    Follows `torch.nn.CELU` (Barron 2017, arXiv:1704.07483).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.celu(0.5).apply((), jnp.array([-100.0, 2.0]))
        Array([-0.5,  2. ], dtype=float32)
    """
    check_alpha(alpha)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.celu(x, alpha)

    return no_params, apply


@layer
def selu():
    """Keeps mean 0 and variance 1 from layer to layer: `y = scale * (x if x > 0 else alpha * (exp(x) - 1))`.

    `scale = 1.0507009873554805` and `alpha = 1.6732632423543772` make (0, 1) the fixed point of mean and
    variance. `alpha_dropout` keeps it.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.SELU` (Klambauer et al. 2017, arXiv:1706.02515).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.selu().apply((), jnp.array([0.0]))
        Array([0.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.selu(x)

    return no_params, apply
