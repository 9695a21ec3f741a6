"""Smooth activations that are less common; gelu, silu, sigmoid and tanh are in activation."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.activation_smooth import check_beta


@layer
def logsigmoid():
    """Takes the logarithm of the sigmoid without underflow: `y = -log(1 + exp(-x))`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.LogSigmoid`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.logsigmoid().apply((), jnp.array([-1000.0]))
        Array([-1000.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.logsigmoid(x)

    return no_params, apply


@layer
def mish():
    """Weighs x by the tanh of its softplus: `y = x * tanh(log(1 + exp(x)))`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Mish` (Misra 2019, arXiv:1908.08681).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.mish().apply((), jnp.array([0.0, 100.0]))
        Array([  0., 100.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.mish(x)

    return no_params, apply


@layer
def softplus(beta: float = 1.0, threshold: float = 20.0):
    """Smooths the rectifier: `y = log(1 + exp(beta * x)) / beta`, and `y = x` where `beta * x > threshold`.

    Args:
        beta: steepness of the bend; not 0.
        threshold: where the straight line takes over.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: beta is 0.
        DtypeError: x is not floating.

    Follows `torch.nn.Softplus`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.softplus().apply((), jnp.array([-1000.0, 1000.0]))
        Array([   0., 1000.], dtype=float32)
    """
    check_beta(beta)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.softplus(x, beta, threshold)

    return no_params, apply


@layer
def softsign():
    """Squeezes numbers into (-1, 1), slowly: `y = x / (1 + |x|)`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Softsign`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.softsign().apply((), jnp.array([-3.0, 0.0, 1.0]))
        Array([-0.75,  0.  ,  0.5 ], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.softsign(x)

    return no_params, apply
