"""Activations made of pieces: rectifiers, exponential units and the hard versions of smooth curves.

At a kink the derivative is torch's: that of the piece which torch's backward pass selects. So the pieces
are written with `where`, whose derivative is that of the selected piece (`maximum` would give 1/2 at ties).
The exception is `relu` on NVIDIA GPUs, where XLA joins a maximum to the products around it, and a selection not.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.errors import OptionError, ShapeError, describe, expect_float, expect_key
from jseq.functional.drawing import drawn

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def floating(x: jax.Array) -> jax.Array:
    """Refuses what is no array of floats; NumPy arrays become JAX's."""
    expect_float(x)
    return jnp.asarray(x)


def relu(x: jax.Array) -> jax.Array:
    """Keeps what is positive: y = max(x, 0), with derivative 0 at 0.

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.relu`.

    >>> relu(jnp.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    return _relu(floating(x))


@jax.custom_jvp
def _relu(x: jax.Array) -> jax.Array:
    return lax.platform_dependent(x, cuda=_maximum, default=_where_positive)


@_relu.defjvp
def _relu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    return _relu(x), lax.select(_not_positive(x), lax.full_like(dx, 0), dx)


def _maximum(x: jax.Array) -> jax.Array:
    return lax.max(x, np.zeros((), x.dtype))


def _where_positive(x: jax.Array) -> jax.Array:
    return lax.select(_not_positive(x), lax.full_like(x, 0), x)  # this order lets NaN pass


def _not_positive(x: jax.Array) -> jax.Array:
    return lax.le(x, np.zeros((), x.dtype))


def hardtanh(x: jax.Array, min_val: float = -1.0, max_val: float = 1.0) -> jax.Array:
    """Cuts off at two bounds: y = min(max(x, min_val), max_val), with derivative 0 at both.

    Args: min_val, max_val: the bounds.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError if min_val > max_val; DtypeError for integers.
    Follows `torch.nn.functional.hardtanh`.

    >>> hardtanh(jnp.array([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    check_bounds(min_val, max_val)
    x = floating(x)
    low, high = jnp.full_like(x, min_val), jnp.full_like(x, max_val)
    return jnp.where(x <= min_val, low, jnp.where(x >= max_val, high, x))


def check_bounds(min_val: float, max_val: float) -> None:
    """Refuses bounds in the wrong order."""
    if min_val > max_val:
        raise OptionError(f"expected min_val <= max_val, got min_val={min_val!r}, max_val={max_val!r}.")


def relu6(x: jax.Array) -> jax.Array:
    """Keeps what lies between 0 and 6: y = min(max(x, 0), 6).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.relu6`.

    >>> relu6(jnp.array([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """
    return hardtanh(x, 0.0, 6.0)


def hardsigmoid(x: jax.Array) -> jax.Array:
    """Approximates the sigmoid by three lines: y = min(max(x + 3, 0), 6) / 6.

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.hardsigmoid` (`jax.nn.hard_sigmoid` is the same).

    >>> hardsigmoid(jnp.array([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    x = floating(x)
    inner = jnp.where(x >= 3, jnp.ones_like(x), (x + 3) / 6)
    return jnp.where(x <= -3, jnp.zeros_like(x), inner)


def hardswish(x: jax.Array) -> jax.Array:
    """Weighs x by its hard sigmoid: y = x * min(max(x + 3, 0), 6) / 6.

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.hardswish` (Howard et al. 2019, arXiv:1905.02244).

    >>> hardswish(jnp.array([-4.0, 1.5, 4.0])).tolist()
    [-0.0, 1.125, 4.0]
    """
    x = floating(x)
    return x * hardsigmoid(x)


def leaky_relu(x: jax.Array, negative_slope: float = 0.01) -> jax.Array:
    """Lets a little of the negative through: y = x if x > 0 else negative_slope * x.

    Args: negative_slope: the slope below 0, which is also the derivative at 0.
    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.leaky_relu`.

    >>> leaky_relu(jnp.array([-2.0, 2.0]), 0.5).tolist()
    [-1.0, 2.0]
    """
    x = floating(x)
    return jnp.where(x > 0, x, x * negative_slope)


def prelu(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Rectifies with a learned slope: y = x if x > 0 else weight * x.

    Args: weight: one slope, or one for each channel: shape (), (1,) or (C,).
    Input: (..., C), floating. Output: the same shape and dtype.
    Raises: ShapeError if weight fits neither; DtypeError for integers.
    Follows `torch.nn.functional.prelu` with the channels last (He et al. 2015, arXiv:1502.01852).

    >>> prelu(jnp.array([-2.0, 2.0]), jnp.array([0.25])).tolist()
    [-0.5, 2.0]
    """
    x = floating(x)
    if weight.size != 1 and (x.ndim == 0 or weight.shape != x.shape[-1:]):
        raise ShapeError(
            f"expected x of shape (..., {weight.size}), one channel a slope, got {describe(x)}. "
            "Use as many slopes as x has channels (its last axis), or one for all."
        )
    slope = jnp.reshape(weight, (1,) * max(x.ndim - 1, 0) + ((-1,) if x.ndim else ())).astype(x.dtype)
    return jnp.where(x > 0, x, x * slope)


def rrelu(
    x: jax.Array,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    *,
    key: jax.Array | None = None,
    train: bool = False,
) -> jax.Array:
    """Rectifies with a random slope: y = x if x > 0 else a * x, a ~ U(lower, upper) for each element.

    Args: lower, upper: bounds of the slope; without train, a = (lower + upper) / 2.
        key: needed in training.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError if lower > upper; CallError in training without a key; DtypeError for integers.
    Follows `torch.nn.functional.rrelu` (Xu et al. 2015, arXiv:1505.00853).

    >>> rrelu(jnp.array([-2.0, 2.0]), 0.25, 0.75).tolist()
    [-1.0, 2.0]
    """
    if lower > upper:
        raise OptionError(f"expected lower <= upper, got lower={lower!r}, upper={upper!r}.")
    if not train:
        return leaky_relu(x, (lower + upper) / 2)
    expect_key(key, "apply(params, x, key=key, train=True)")
    assert key is not None
    x = floating(x)
    slope = drawn(partial(jax.random.uniform, dtype=x.dtype, minval=lower, maxval=upper), key, x.shape)
    return jnp.where(x > 0, x, x * slope)


def elu(x: jax.Array, alpha: float = 1.0) -> jax.Array:
    """Bends the negative exponentially: y = x if x > 0 else alpha * (exp(x) - 1).

    Args: alpha: the limit is -alpha; it is also the derivative at 0.
    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.elu` (Clevert et al. 2016, arXiv:1511.07289).

    >>> elu(jnp.array([-1e4, 0.0, 2.0])).tolist()
    [-1.0, 0.0, 2.0]
    """
    x = floating(x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(_negative(x)))


def celu(x: jax.Array, alpha: float = 1.0) -> jax.Array:
    """Bends the negative with derivative 1 at 0: y = x if x > 0 else alpha * (exp(x / alpha) - 1).

    Args: alpha: the limit is -alpha; not 0.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError if alpha is 0; DtypeError for integers.
    Follows `torch.nn.functional.celu` (Barron 2017, arXiv:1704.07483).

    >>> celu(jnp.array([-1e4, 0.0, 2.0]), 0.5).tolist()
    [-0.5, 0.0, 2.0]
    """
    check_alpha(alpha)
    x = floating(x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(_negative(x) / alpha))


def check_alpha(alpha: float) -> None:
    """Refuses the alpha that celu would divide by."""
    if alpha == 0:
        raise OptionError("expected alpha other than 0, got 0. Use alpha=1.0, or relu for the limit.")


def selu(x: jax.Array) -> jax.Array:
    """Normalises itself: y = 1.0507 * (x if x > 0 else 1.6733 * (exp(x) - 1)).

    Input: (...), floating. Output: the same shape and dtype. Raises: DtypeError for integers.
    Follows `torch.nn.functional.selu` (Klambauer et al. 2017, arXiv:1706.02515).

    >>> round(float(selu(jnp.array(-1e4))), 4)
    -1.7581
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def _negative(x: jax.Array) -> jax.Array:
    # exp must not see large x: its overflow times the zero cotangent of `where` would be NaN.
    return jnp.where(x > 0, jnp.zeros_like(x), x)
