"""Activations that remove the small: shrinkage and threshold."""

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import OptionError
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen


def hardshrink(x: jax.Array, lambd: float = 0.5) -> jax.Array:
    """Removes the small: y = x if |x| > lambd else 0.

    Args: lambd: the largest |x| that is removed.
    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.hardshrink`.

    >>> hardshrink(jnp.array([-1.0, 0.5, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    x = floating(x)
    return jnp.where((x >= -lambd) & (x <= lambd), jnp.zeros_like(x), x)


def softshrink(x: jax.Array, lambd: float = 0.5) -> jax.Array:
    """Moves towards 0 by lambd: y = sign(x) * max(|x| - lambd, 0).

    Args: lambd: the distance, at least 0.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError if lambd < 0; DtypeError for integers.
    Follows `torch.nn.functional.softshrink`.

    >>> softshrink(jnp.array([-1.0, 0.5, 2.0])).tolist()
    [-0.5, 0.0, 1.5]
    """
    check_lambd(lambd)
    x = floating(x)
    shift = jnp.where(x > 0, jnp.full_like(x, lambd), jnp.full_like(x, -lambd))
    return jnp.where((x >= -lambd) & (x <= lambd), jnp.zeros_like(x), x - shift)


def check_lambd(lambd: float) -> None:
    """Refuses a negative distance."""
    if lambd < 0:
        raise OptionError(f"expected lambd >= 0, got {lambd!r}.")


def tanhshrink(x: jax.Array) -> jax.Array:
    """Removes the tanh: y = x - tanh(x).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.tanhshrink`.

    >>> tanhshrink(jnp.array([0.0, 1e4])).tolist()
    [0.0, 9999.0]
    """
    x = floating(x)
    wide = widen(x)
    return (wide - lax.tanh(wide)).astype(x.dtype)


def threshold(x: jax.Array, threshold: float, value: float) -> jax.Array:
    """Replaces what is not above a threshold: y = x if x > threshold else value.

    Args: threshold: the largest x that is replaced. value: what replaces it.
    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.threshold`.

    >>> threshold(jnp.array([0.5, 2.0]), 1.0, -5.0).tolist()
    [-5.0, 2.0]
    """
    x = floating(x)
    return jnp.where(x <= threshold, jnp.full_like(x, value), x)
