"""Activations that the field uses most; the others are in activation_pieces, _smooth, _shrink, _softmax and _gated."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.options import at_least
from jseq.core import layer, no_params
from jseq.functional.activation_smooth import check_approximate


@layer
def relu():
    """Keeps what is positive: `y = max(x, 0)`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.ReLU`; the derivative at 0 is 0.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.relu().apply((), jnp.array([-1.0, 0.0, 2.0]))
        Array([0., 0., 2.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.relu(x)

    return no_params, apply


@layer
def leaky_relu(negative_slope: float = 0.01):
    """Lets a little of what is negative through: `y = x if x > 0 else negative_slope * x`.

    Args:
        negative_slope: slope on the negative side.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.LeakyReLU` (Maas et al. 2013).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.leaky_relu(0.5).apply((), jnp.array([-1.0, 2.0]))
        Array([-0.5,  2. ], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.leaky_relu(x, negative_slope)

    return no_params, apply


@layer
def prelu(num_parameters: int = 1, init: float = 0.25):
    """A leaky rectifier that learns its slope: `y = x if x > 0 else weight * x`.

    Args:
        num_parameters: 1 slope for all, or one for each channel (the last axis).
        init: initial slope.

    Input: `(..., num_parameters)`, or `(...)` with one slope; floating.
    Output: the same shape and dtype.
    Params: `weight (num_parameters,)`.

    Raises:
        ShapeError: the last axis of x has another size than the slopes.
        DtypeError: x is not floating.

    Follows `torch.nn.PReLU` (He et al. 2015, arXiv:1502.01852).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.prelu()
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([-1.0, 2.0]))
        Array([-0.25,  2.  ], dtype=float32)
    """
    at_least(1, num_parameters=num_parameters)

    def make(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return {"weight": jnp.full((num_parameters,), float(init))}

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return F.prelu(x, params["weight"])

    return make, apply


@layer
def sigmoid():
    """Squeezes numbers into (0, 1): `y = 1 / (1 + exp(-x))`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Sigmoid`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.sigmoid().apply((), jnp.array([0.0]))
        Array([0.5], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.sigmoid(x)

    return no_params, apply


@layer
def tanh():
    """Squeezes numbers into (-1, 1): `y = tanh(x)`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.Tanh`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.tanh().apply((), jnp.array([0.0]))
        Array([0.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.tanh(x)

    return no_params, apply


@layer
def gelu(approximate: str = "none"):
    """Weighs x by the probability that a normal number is smaller: `y = x * Phi(x)`.

    Args:
        approximate: "none" for the exact erf, "tanh" for the tanh approximation (JAX's own default).

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: another word for `approximate`.
        DtypeError: x is not floating.

    Follows `torch.nn.GELU` (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.gelu().apply((), jnp.array([0.0, 10.0]))
        Array([ 0., 10.], dtype=float32)
    """
    check_approximate(approximate)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.gelu(x, approximate)

    return no_params, apply


@layer
def silu():
    """Weighs x by its sigmoid: `y = x * sigmoid(x)`; also known as swish.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.

    Follows `torch.nn.SiLU`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.silu().apply((), jnp.array([0.0, 100.0]))
        Array([  0., 100.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.silu(x)

    return no_params, apply
