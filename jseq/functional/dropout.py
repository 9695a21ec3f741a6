"""Dropout in its forms: elements, channels, whole branches, and noise that is added.

Under `jax.vmap` with one key every member gets the same mask: split the key for different ones.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.errors import OptionError, expect_key, expect_rank
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen
from jseq.functional.drawing import drawn
from jseq.functional.masks import keep_mask
from jseq.functional.windows import spatial_form

CALL = "apply(params, x, key=key, train=True)"
ALPHA = 1.7580993408473766  # scale times alpha of SELU: minus its limit at -infinity


def check_probability(p: float) -> None:
    """Refuses what is no probability of dropping."""
    if not (isinstance(p, (int, float)) and 0 <= p <= 1):
        raise OptionError(f"expected p, the probability of dropping, from 0 to 1, got {p!r}.")


def _needs_mask(p: float, key: jax.Array | None, train: bool) -> bool:
    check_probability(p)
    if train and p > 0:
        expect_key(key, CALL)
    return train and p > 0


def _like(x: jax.Array, mask: jax.Array) -> jax.Array:
    # `or` with a constant gives the mask the shape and, on a mesh of explicit axes, the sharding of x:
    # `where` refuses a replicated mask there. XLA removes the `or`.
    return lax.bitwise_or(lax.full_like(x, False, bool), mask)


def _drop(x: jax.Array, p: float, key: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    if p == 1:
        return jnp.zeros_like(x)  # 1 / (1 - p) is infinite
    assert key is not None
    keep = _like(x, keep_mask(key, p, shape))
    wide = widen(x)  # 1 / (1 - p) rounded to bfloat16 would shift the mean by up to 0.4%
    return lax.select(keep, lax.mul(wide, np.asarray(1 / (1 - p), wide.dtype)), lax.full_like(wide, 0)).astype(x.dtype)


def dropout(x: jax.Array, p: float = 0.5, *, key: jax.Array | None = None, train: bool = True) -> jax.Array:
    """Zeroes elements at random and scales the others: y = x * m / (1 - p), m ~ Bernoulli(1 - p).

    Args: p: probability of dropping. key: needed in training. train: without it, y = x.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError unless 0 <= p <= 1; CallError in training without a key; DtypeError for integers.
    Follows `torch.nn.functional.dropout` (Srivastava et al. 2014, JMLR 15).

    >>> y = dropout(jnp.ones(1000), 0.5, key=jax.random.key(0))
    >>> sorted(set(y.tolist())), 0.9 < float(y.mean()) < 1.1
    ([0.0, 2.0], True)
    """
    x = floating(x)
    return _drop(x, p, key, x.shape) if _needs_mask(p, key, train) else x


def feature_shape(x: jax.Array, spatial_dims: int) -> tuple[int, ...]:
    """Gives the shape of a mask with one bit for each channel of each example: (..., 1, 1, C)."""
    expect_rank(x, spatial_dims + 1, spatial_form(spatial_dims))
    return (*x.shape[: x.ndim - 1 - spatial_dims], *(1,) * spatial_dims, x.shape[-1])


def feature_dropout(
    x: jax.Array, p: float = 0.5, spatial_dims: int = 2, *, key: jax.Array | None = None, train: bool = True
) -> jax.Array:
    """Zeroes whole channels of an example at random: y = x * m / (1 - p), one m for each channel.

    Args: p: probability of dropping. spatial_dims: axes between the batch and the channels that share m.
        key: needed in training. train: without it, y = x.
    Input: (..., *spatial, C), floating. Output: the same shape and dtype.
    Raises: OptionError unless 0 <= p <= 1; ShapeError for too few axes; CallError in training without a key.
    Follows `torch.nn.functional.dropout1d`, `dropout2d`, `dropout3d` (Tompson et al. 2015, arXiv:1411.4280).

    >>> y = feature_dropout(jnp.ones((5, 5, 8)), key=jax.random.key(0))
    >>> sorted(set(y.sum((0, 1)).tolist()))
    [0.0, 50.0]
    """
    x = floating(x)
    shape = feature_shape(x, spatial_dims)
    return _drop(x, p, key, shape) if _needs_mask(p, key, train) else x


def _alpha_drop(x: jax.Array, p: float, key: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    if p == 1:
        return jnp.zeros_like(x)
    assert key is not None
    keep = _like(x, keep_mask(key, p, shape))
    wide = widen(x)
    a = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
    shift = ALPHA * a * p
    dropped = jnp.full_like(wide, shift - ALPHA * a)
    return jnp.where(keep, wide * a + shift, dropped).astype(x.dtype)


def alpha_dropout(x: jax.Array, p: float = 0.5, *, key: jax.Array | None = None, train: bool = True) -> jax.Array:
    """Sets elements to SELU's limit at random and keeps mean 0 and variance 1.

    y = a (x m + alpha' (1 - m)) + b, alpha' = -1.7581, m ~ Bernoulli(1 - p),
    a = ((1 - p) (1 + p alpha'^2))^(-1/2), b = -a p alpha'.
    Args: p: probability of dropping. key: needed in training. train: without it, y = x.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError unless 0 <= p <= 1; CallError in training without a key; DtypeError for integers.
    Follows `torch.nn.functional.alpha_dropout` (Klambauer et al. 2017, arXiv:1706.02515).

    >>> y = alpha_dropout(jax.random.normal(jax.random.key(0), (10000,)), key=jax.random.key(1))
    >>> abs(float(y.mean())) < 0.05, abs(float(y.std()) - 1) < 0.05
    (True, True)
    """
    x = floating(x)
    return _alpha_drop(x, p, key, x.shape) if _needs_mask(p, key, train) else x


def feature_alpha_dropout(
    x: jax.Array, p: float = 0.5, spatial_dims: int = 2, *, key: jax.Array | None = None, train: bool = True
) -> jax.Array:
    """Sets whole channels of an example to SELU's limit at random: `alpha_dropout`, one m for each channel.

    Args: p: probability of dropping. spatial_dims: axes between the batch and the channels that share m.
        key: needed in training. train: without it, y = x.
    Input: (..., *spatial, C), floating. Output: the same shape and dtype.
    Raises: OptionError unless 0 <= p <= 1; ShapeError for too few axes; CallError in training without a key.
    Follows `torch.nn.functional.feature_alpha_dropout` (with spatial_dims = rank - 2).

    >>> y = feature_alpha_dropout(jnp.ones((5, 5, 8)), key=jax.random.key(0))
    >>> len(set(y[0, 0].tolist())), bool((y == y[:1, :1]).all())
    (2, True)
    """
    x = floating(x)
    shape = feature_shape(x, spatial_dims)
    return _alpha_drop(x, p, key, shape) if _needs_mask(p, key, train) else x


def drop_path(
    x: jax.Array, p: float, event_dims: int, *, key: jax.Array | None = None, train: bool = True
) -> jax.Array:
    """Zeroes whole examples at random (stochastic depth): y = x * m / (1 - p), one m for each example.

    Args: p: probability of dropping. event_dims: how many of the last axes share m (make up an example).
        key: needed in training. train: without it, y = x.
    Input: (..., *event), floating. Output: the same shape and dtype.
    Raises: OptionError unless 0 <= p <= 1; ShapeError for fewer axes; CallError in training without a key.
    As `torchvision.ops.stochastic_depth(mode="row")` (Huang et al. 2016, arXiv:1603.09382).

    >>> y = drop_path(jnp.ones((8, 5, 4)), 0.5, 2, key=jax.random.key(0))
    >>> sorted(set(y.sum((1, 2)).tolist()))
    [0.0, 40.0]
    """
    x = floating(x)
    expect_rank(x, event_dims, f"(...) with at least {event_dims} axes")
    shape = (*x.shape[: x.ndim - event_dims], *(1,) * event_dims)
    return _drop(x, p, key, shape) if _needs_mask(p, key, train) else x


def gaussian_noise(x: jax.Array, std: float = 1.0, *, key: jax.Array | None = None, train: bool = True) -> jax.Array:
    """Adds noise in training: y = x + std * n, n ~ N(0, 1).

    Args: std: standard deviation of the noise. key: needed in training. train: without it, y = x.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: OptionError if std < 0; CallError in training without a key; DtypeError for integers.
    As `keras.layers.GaussianNoise`.

    >>> y = gaussian_noise(jnp.zeros(10000), 0.5, key=jax.random.key(0))
    >>> abs(float(y.std()) - 0.5) < 0.05
    True
    """
    check_std(std)
    x = floating(x)
    if not train or std == 0:
        return x
    expect_key(key, CALL)
    assert key is not None
    return x + std * drawn(partial(jax.random.normal, dtype=x.dtype), key, x.shape)


def check_std(std: float) -> None:
    """Refuses what is no standard deviation."""
    if not (isinstance(std, (int, float)) and std >= 0):
        raise OptionError(f"expected std >= 0, got {std!r}.")
