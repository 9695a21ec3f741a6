"""Activations that remove what is small: shrinkage and threshold."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.activation_shrink import check_lambd


@layer
def hardshrink(lambd: float = 0.5):
    """Removes what is small: `y = x if |x| > lambd else 0`.

    Args:
        lambd: the largest |x| that is removed.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Hardshrink`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.hardshrink().apply((), jnp.array([-1.0, 0.5, 2.0]))
        Array([-1.,  0.,  2.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.hardshrink(x, lambd)

    return no_params, apply


@layer
def softshrink(lambd: float = 0.5):
    """Moves numbers towards 0: `y = sign(x) * max(|x| - lambd, 0)`.

    Args:
        lambd: the distance, at least 0.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: lambd is negative.
        DtypeError: x is not floating.

    Follows `torch.nn.Softshrink`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.softshrink().apply((), jnp.array([-1.0, 0.5, 2.0]))
        Array([-0.5,  0. ,  1.5], dtype=float32)
    """
    check_lambd(lambd)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.softshrink(x, lambd)

    return no_params, apply


@layer
def tanhshrink():
    """Removes the tanh: `y = x - tanh(x)`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Tanhshrink`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.tanhshrink().apply((), jnp.array([0.0, 100.0]))
        Array([ 0., 99.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.tanhshrink(x)

    return no_params, apply


@layer
def threshold(threshold: float, value: float):
    """Replaces what is not above a threshold: `y = x if x > threshold else value`.

    Args:
        threshold: the largest x that is replaced.
        value: what replaces it.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Threshold`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.threshold(1.0, -5.0).apply((), jnp.array([0.5, 2.0]))
        Array([-5.,  2.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.threshold(x, threshold, value)

    return no_params, apply
