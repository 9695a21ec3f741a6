"""Batch normalisation, with running statistics and optional synchronisation across devices."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.errors import OptionError, ShapeError, describe, expect_features
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen
from jseq.functional.standardise import inverse_root

AxisName = str | tuple[str, ...] | None
_Three = tuple[jax.Array, jax.Array, jax.Array]
_Four = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def batch_norm(
    x: jax.Array,
    running_mean: jax.Array | None,
    running_var: jax.Array | None,
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    *,
    train: bool = False,
    momentum: float | jax.Array = 0.1,
    eps: float = 1e-5,
    axis_name: AxisName = None,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Normalises each channel: y = (x - mean) / sqrt(var + eps) * weight + bias.

    In training, mean and (biased) var are those of the batch: of all axes but the last. Otherwise they
    are the running ones. Training returns new = (1 - momentum) * running + momentum * batch, where the
    batch's variance is the unbiased one. An empty batch leaves them as they are.

    Args:
        running_mean, running_var: shape (C,), or both None: then the statistics are always the batch's.
        weight, bias: shape (C,), or None for 1 and 0.
        train: whether to use (and learn) the statistics of the batch.
        momentum: weight of the new value; 1 / (number of batches) makes a cumulative average.
        eps: added to the variance.
        axis_name: mapped axis (of shard_map or vmap) over which the statistics are averaged as well.
    Input: (..., C), floating. Output: y of the same shape and dtype, new_mean (C,), new_var (C,).
    Raises: ShapeError for another number of channels, or one value per channel in training;
        OptionError if only one of the running statistics is given; DtypeError for integers.
    Follows `torch.nn.functional.batch_norm` (Ioffe and Szegedy 2015, arXiv:1502.03167).

    >>> y, mean, var = batch_norm(jnp.array([[1.0], [3.0]]), jnp.zeros(1), jnp.ones(1), train=True)
    >>> y.round(3).tolist(), mean.round(3).tolist(), var.round(3).tolist()
    ([[-1.0], [1.0]], [0.20000000298023224], [1.100000023841858])
    """
    x = floating(x)
    _check(x, running_mean, running_var, weight, bias)
    if running_mean is not None and running_var is not None and not train:
        y = _affine(x, running_mean, running_var, weight, bias, eps)
        return y, running_mean, running_var
    count = values_per_channel(x, axis_name)
    if count == 0:
        return x, running_mean, running_var
    scale, shift = _or_constant(weight, x, 1.0), _or_constant(bias, x, 0.0)
    normalised: _Three = _normalise(x, scale, shift, eps, axis_name)
    y, mean, var = normalised
    if running_mean is None or running_var is None:
        return y, None, None
    unbiased = var * (count / (count - 1))
    return y, average(running_mean, mean, momentum), average(running_var, unbiased, momentum)


def average(running: jax.Array, new: jax.Array, momentum: float | jax.Array) -> jax.Array:
    """Moves a running statistic towards the new value: (1 - momentum) * running + momentum * new."""
    m = jnp.asarray(momentum, running.dtype)
    kept = lax.mul(lax.sub(np.ones((), running.dtype), m), running)
    return lax.add(kept, lax.mul(m, new.astype(running.dtype)))


def values_per_channel(x: jax.Array, axis_name: AxisName = None) -> int:
    """Counts the values that a channel's statistics rest on, and refuses a single one."""
    count = math.prod(x.shape[:-1]) * (1 if axis_name is None else int(lax.psum(1, axis_name)))
    if count == 1:
        raise ShapeError(
            f"expected more than 1 value per channel when training, got {describe(x)}. "
            "Use a larger batch, or evaluate with train=False."
        )
    return count


def _check(x: jax.Array, running_mean: Any, running_var: Any, weight: Any, bias: Any) -> None:
    if (running_mean is None) != (running_var is None):
        raise OptionError("expected both running_mean and running_var or neither, got one of them.")
    for parameter in (running_mean, weight, bias):
        if parameter is not None:
            expect_features(x, parameter.shape[0], hint="The last axis holds the channels.")
    if x.ndim == 0:
        raise ShapeError(f"expected x of shape (..., C), got {describe(x)}. Add the channel axis: x[None].")


def _or_constant(parameter: jax.Array | None, x: jax.Array, constant: float) -> jax.Array:
    dtype = widen(x).dtype
    return jnp.full(x.shape[-1:], constant, dtype) if parameter is None else parameter.astype(dtype)


def _wide(per_channel: jax.Array, like: jax.Array) -> jax.Array:
    return lax.broadcast_in_dim(per_channel, like.shape, (like.ndim - 1,))


def _affine(x: jax.Array, mean: jax.Array, var: jax.Array, weight: Any, bias: Any, eps: float) -> jax.Array:
    wide = widen(x)
    scale = lax.rsqrt(var.astype(wide.dtype) + eps) * _or_constant(weight, x, 1.0)
    # Subtracting the mean first costs nothing (memory is the limit) and keeps float32 exact at large means.
    y = (wide - _wide(mean.astype(wide.dtype), wide)) * _wide(scale, wide)
    y = y if bias is None else y + _wide(bias.astype(wide.dtype), wide)
    return y.astype(x.dtype)


def _mean(x: jax.Array, axis_name: AxisName) -> jax.Array:
    count = jnp.asarray(math.prod(x.shape[:-1]), x.dtype)  # no int where jax.export leaves the batch open
    mean = lax.div(lax.reduce_sum(x, tuple(range(x.ndim - 1))), count)
    return mean if axis_name is None else lax.pmean(mean, axis_name)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _normalise(x: jax.Array, weight: jax.Array, bias: jax.Array, eps: float, axis_name: AxisName) -> _Three:
    y, mean, var, _ = _forward(x, weight, bias, eps, axis_name)
    return y, mean, var


def _forward(x: jax.Array, weight: jax.Array, bias: jax.Array, eps: float, axis_name: AxisName) -> _Four:
    """In `lax`, as the derivative is: jnp's operators are each traced as a function, 17.4 ms in all in place of 9.8."""
    wide = widen(x)
    mean = _mean(wide, axis_name)
    centred = lax.sub(wide, _wide(mean, wide))
    # Two passes: E[x^2] - E[x]^2 is 0 at mean 1e4, std 1 in float32.
    var = _mean(lax.mul(centred, centred), axis_name)
    inverse = inverse_root(var, eps)
    y = lax.add(lax.mul(centred, _wide(lax.mul(inverse, weight), wide)), _wide(bias, wide))
    return y.astype(x.dtype), mean, var, inverse


@_normalise.defjvp
def _normalise_jvp(eps: float, axis_name: AxisName, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Writes the tangent so that its transpose is the two-reduction backward pass.

    With m1 = mean(dx) and m2 = mean(x_hat dx): dmean = m1, dvar = 2 m2 / inverse and
    dy = A dx + x_hat (dweight - A m2) + (dbias - A m1), where A = weight * inverse. Transposed, the
    sums of g and of x_hat g are taken once each and serve bias, weight and x alike.
    """
    (x, weight, bias), (dx, dweight, dbias) = primals, tangents
    y, mean, var, inverse = _forward(x, weight, bias, eps, axis_name)
    wide, dx = widen(x), dx.astype(widen(x).dtype)
    normal = lax.mul(lax.sub(wide, _wide(mean, wide)), _wide(inverse, wide))
    m1, m2 = _mean(dx, axis_name), _mean(lax.mul(normal, dx), axis_name)
    a = lax.mul(weight, inverse)
    slope, shift = lax.sub(dweight, lax.mul(a, m2)), lax.sub(dbias, lax.mul(a, m1))
    dy = lax.add(lax.mul(dx, _wide(a, wide)), lax.mul(normal, _wide(slope, wide)))
    dvar = lax.div(lax.mul(np.asarray(2, m2.dtype), m2), inverse)
    return (y, mean, var), (lax.add(dy, _wide(shift, wide)).astype(x.dtype), m1, dvar)
