"""Smooth activations. Compositions run in float32 for half-precision input, as torch's do."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.errors import OptionError
from jseq.functional.activation import floating
from jseq.functional.apart import apart


def widen(x: jax.Array) -> jax.Array:
    """Turns half precision into float32; float32 and float64 stay."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def sigmoid(x: jax.Array) -> jax.Array:
    """Squashes into (0, 1): y = 1 / (1 + exp(-x)).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.sigmoid`.

    >>> sigmoid(jnp.array([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    return lax.logistic(floating(x))


def tanh(x: jax.Array) -> jax.Array:
    """Squashes into (-1, 1): y = (exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.tanh`.

    >>> tanh(jnp.array([-1e4, 0.0, 1e4])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return lax.tanh(floating(x))


def softsign(x: jax.Array) -> jax.Array:
    """Squashes into (-1, 1) slowly: y = x / (1 + |x|).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.softsign`.

    >>> softsign(jnp.array([-3.0, 0.0, 1.0])).tolist()
    [-0.75, 0.0, 0.5]
    """
    x = floating(x)
    return x / (1 + jnp.abs(x))


@jax.custom_jvp
def _silu(x: jax.Array) -> jax.Array:
    wide = widen(x)
    return (wide * lax.logistic(wide)).astype(x.dtype)


@_silu.defjvp
def _silu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t,) = primals, tangents
    wide = widen(x)
    gate = lax.logistic(wide)
    slope = gate * (1 + wide * (1 - gate))
    return (wide * gate).astype(x.dtype), t * slope.astype(x.dtype)


def silu(x: jax.Array) -> jax.Array:
    """Weighs x by its sigmoid (also called swish): y = x * sigmoid(x).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.silu` (Elfwing et al. 2017, arXiv:1702.03118).

    >>> round(float(silu(jnp.array(1.0))), 4)
    0.7311
    """
    return _silu(floating(x))


def mish(x: jax.Array) -> jax.Array:
    """Weighs x by the tanh of its softplus: y = x * tanh(log(1 + exp(x))).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.mish` (Misra 2019, arXiv:1908.08681).

    >>> round(float(mish(jnp.array(1.0))), 4)
    0.8651
    """
    x = floating(x)
    wide = widen(x)
    # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2): one exponential instead of three transcendentals.
    # From 20 on, 2 / (n + 2) = 8e-18 is below the precision of float64.
    small = wide < 20
    e = jnp.exp(jnp.where(small, wide, jnp.zeros_like(wide)))
    n = e * (e + 2)
    return jnp.where(small, wide * (n / (n + 2)), wide).astype(x.dtype)


@jax.custom_jvp
def _softplus(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@_softplus.defjvp
def _softplus_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t,) = primals, tangents
    return _softplus(x), t * lax.logistic(x)  # no |x| or max: smooth at 0 in every order


def logsigmoid(x: jax.Array) -> jax.Array:
    """Takes the logarithm of the sigmoid without underflow: y = -log(1 + exp(-x)).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.logsigmoid`.

    >>> logsigmoid(jnp.array([-1e4, 1e4])).tolist()
    [-10000.0, -0.0]
    """
    x = floating(x)
    return -_softplus(-widen(x)).astype(x.dtype)


def softplus(x: jax.Array, beta: float = 1.0, threshold: float = 20.0) -> jax.Array:
    """Smooths the rectifier: y = log(1 + exp(beta * x)) / beta, and y = x where beta * x > threshold.

    Args: beta: steepness, not 0. threshold: where the line takes over.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError if beta is 0; DtypeError for integers.
    Follows `torch.nn.functional.softplus`.

    >>> softplus(jnp.array([-1e4, 1e4])).tolist()
    [0.0, 10000.0]
    """
    check_beta(beta)
    x = floating(x)
    wide = widen(x)
    scaled = wide * beta
    return jnp.where(scaled > threshold, wide, _softplus(scaled) / beta).astype(x.dtype)


def check_beta(beta: float) -> None:
    """Refuses the beta that softplus would divide by."""
    if beta == 0:
        raise OptionError("expected beta other than 0, got 0. Use beta=1.0.")


@jax.custom_jvp
def _gelu(x: jax.Array) -> jax.Array:
    wide = widen(x)
    return lax.mul(wide, _cdf(wide)).astype(x.dtype)


def _cdf(x: jax.Array) -> jax.Array:
    half, root = (np.asarray(value, x.dtype) for value in (0.5, math.sqrt(0.5)))
    return lax.add(half, lax.mul(half, lax.erf(lax.mul(x, root))))


@_gelu.defjvp
def _gelu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t,) = primals, tangents
    wide = widen(apart(x))  # another erf costs less than a store of the first
    minus, height = (np.asarray(value, wide.dtype) for value in (-0.5, 1 / math.sqrt(2 * math.pi)))
    density = lax.mul(lax.exp(lax.mul(lax.mul(minus, wide), wide)), height)
    slope = lax.add(_cdf(wide), lax.mul(wide, density))
    return _gelu(x), lax.mul(t, slope.astype(x.dtype))


@jax.custom_jvp
def _gelu_tanh(x: jax.Array) -> jax.Array:
    wide = widen(x)
    return (wide * lax.logistic(_gelu_tanh_argument(wide))).astype(x.dtype)


@_gelu_tanh.defjvp
def _gelu_tanh_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t,) = primals, tangents
    wide = widen(x)
    gate = lax.logistic(_gelu_tanh_argument(wide))
    inner = wide * (1.0 + 3 * 0.044715 * wide * wide) * math.sqrt(8 / math.pi)
    slope = gate + gate * (1 - gate) * inner
    return (wide * gate).astype(x.dtype), t * slope.astype(x.dtype)


def _gelu_tanh_argument(x: jax.Array) -> jax.Array:
    # (1 + tanh(u)) / 2 = sigmoid(2 u)
    return math.sqrt(8 / math.pi) * x * (1.0 + 0.044715 * x * x)


def gelu(x: jax.Array, approximate: str = "none") -> jax.Array:
    """Weighs x by the normal distribution: y = x * P(X <= x), X ~ N(0, 1).

    Args: approximate: "none" for the exact y = x (1 + erf(x / sqrt(2))) / 2, or "tanh" for
        y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which is faster and off by up to 5e-4.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError for another approximate; DtypeError for integers.
    Follows `torch.nn.functional.gelu`; `jax.nn.gelu` means "tanh" unless told otherwise
    (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    >>> round(float(gelu(jnp.array(1.0))), 4), round(float(gelu(jnp.array(1.0), "tanh")), 4)
    (0.8413, 0.8412)
    """
    check_approximate(approximate)
    x = floating(x)
    return _gelu(x) if approximate == "none" else _gelu_tanh(x)


def check_approximate(approximate: str) -> None:
    """Refuses an approximation of the GELU that is not known."""
    if approximate not in ("none", "tanh"):
        raise OptionError(f'expected approximate="none" or "tanh", got {approximate!r}.')
