"""The forms of a convolution: which one XLA compiles to something fast depends on shapes and platform."""

import math
import os
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jseq.functional.linear import linear
from jseq.functional.windows import Pairs

# stride, padding, dilation
Options = tuple[tuple[int, ...], Pairs, tuple[int, ...]]

# Whether XLA:CPU's convolutions from an odd number of channels to 17 to 32 are the slow ones.
SLOW_IF_ODD = jax.__version_info__ < (0, 12)
# Whether XLA:CPU runs most convolutions in one thread, though it has more, as jax 0.10's does. A container's quota
# of time is not seen: there the forms for many cores cost up to a third more than those for one.
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
IN_ONE_THREAD = jax.__version_info__ < (0, 11) and _CORES > 1


class _Wide(NamedTuple):
    """Which terms are spread on CPU, so that XLA gives them to Eigen in place of YNNPACK."""

    output: bool
    input_gradient: bool
    weight_gradient: bool


def dimension_numbers(n: int) -> lax.ConvDimensionNumbers:
    """Returns lax's description of (batch, *spatial, channels) with (*window, in, out)."""
    image = (0, n + 1, *range(1, n + 1))
    return lax.ConvDimensionNumbers(image, (n + 1, n, *range(n)), image)


def convolve(x: jax.Array, weight: jax.Array, options: Options, groups: int) -> jax.Array:
    """Convolves x (batch, *spatial, channels) in the form that is fast for its shape."""
    stride, padding, _ = options
    n, in_channels = len(stride), weight.shape[-2]
    if weight.shape[:n] == (1,) * n and groups == 1 and not any(map(any, padding)) and in_channels >= 4:
        # A product of matrices: forward in 0.67 to 1.2 of the convolution's time, with gradients in 0.39
        # to 0.79 (ten shapes, one to three axes); with 3 channels the forward takes 3 times as long.
        plain = partial(_lax_conv, options=options)
        product = partial(_pointwise, stride=stride)
        return lax.platform_dependent(x, weight, cpu=product, default=plain)
    if n != 2 or groups != 1:
        return _lax_conv(x, weight, options, groups)
    wide = _spread(x, weight, options)
    return _conv(x, weight, options, wide) if any(wide) else _in_fours(x, weight, options)


def _spread(x: jax.Array, weight: jax.Array, options: Options) -> _Wide:
    """Finds which terms of a convolution over two axes Eigen is faster at; a symbolic batch (jax.export) has none.

    The weight gradient, in one thread: 0.32 to 0.79 of the time, 0.73 to 0.98 of forward and gradients together (seven
    shapes; on another machine 0.2 to 1.24, 16 shapes, one and two threads, jax 0.10 and 0.12). But 1.1 to 7 times as
    long for batches below 16, for 8 output channels, for one and three axes; 0.8 to 2.04 where the numbers of channels
    have a product below 2048, but for one to three that come in; no gain with a stride.

    The others, where YNNPACK leaves cores idle: the output 0.46 to 1.09 of the time in two threads, the gradient of the
    input 0.51 to 1.07 (22 shapes from 32 channels on); with fewer, or a stride, up to 13 times as long.
    """
    stride, _, dilation = options
    in_channels, out_channels = weight.shape[-2:]
    if x.dtype != jnp.float32 or not all(isinstance(size, int) for size in x.shape):
        return _Wide(False, False, False)
    idle = IN_ONE_THREAD and min(in_channels, out_channels) >= 32 and math.prod(x.shape[:-1]) >= 512
    many = x.shape[0] >= 32 and out_channels >= 16 and (in_channels < 4 or in_channels * out_channels >= 2048)
    return _Wide(idle, idle and stride == (1, 1), many and stride == dilation == (1, 1))


def _in_fours(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves over two axes; with odd numbers of channels that XLA:CPU is slow at, pads them by zeros.

    In 0.1 to 0.81 of the time of jax 0.10 and 0.11 (13 sizes from 3, 9 and 31 channels, among them strides, dilations
    and a batch of one). Jax 0.12 would take 1.1 to 1.42 with the zeros, up to 11 channels.
    """
    in_channels, out_channels = weight.shape[-2:]
    if not (in_channels % 2 and in_channels > 1 and 16 < out_channels <= 32 and x.dtype == jnp.float32 and SLOW_IF_ODD):
        return _lax_conv(x, weight, options)

    def widened(a: jax.Array, axis: int) -> jax.Array:
        return lax.pad(a, jnp.zeros((), a.dtype), [(0, -in_channels % 4 * (i == axis), 0) for i in range(4)])

    def padded(x: jax.Array, weight: jax.Array) -> jax.Array:
        return _lax_conv(widened(x, 3), widened(weight, 2), options)

    return lax.platform_dependent(x, weight, cpu=padded, default=partial(_lax_conv, options=options))


def _lax_conv(x: jax.Array, weight: jax.Array, options: Options, groups: int = 1, wide: int = 1) -> jax.Array:
    """Calls lax; `wide` spreads the last spatial axis of both operands and the stride, to the same sum."""
    stride, padding, dilation = options
    n = len(stride)
    factors = (1,) * (n - 1) + (wide,)
    return lax.conv_general_dilated(
        x,
        weight,
        [s * f for s, f in zip(stride, factors, strict=True)],
        [(low * f, high * f) for (low, high), f in zip(padding, factors, strict=True)],
        lhs_dilation=factors,
        rhs_dilation=[d * f for d, f in zip(dilation, factors, strict=True)],
        dimension_numbers=dimension_numbers(n),
        feature_group_count=groups,
    )


def _pointwise(x: jax.Array, weight: jax.Array, stride: tuple[int, ...]) -> jax.Array:
    kept = lax.slice(x, (0,) * x.ndim, x.shape, (1, *stride, 1))
    return linear(kept, weight.reshape(weight.shape[-2:]))


def _in_form(x: jax.Array, weight: jax.Array, options: Options, wide: bool) -> jax.Array:
    plain = partial(_lax_conv, options=options)
    return lax.platform_dependent(x, weight, cpu=partial(plain, wide=2), default=plain) if wide else plain(x, weight)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _conv(x: jax.Array, weight: jax.Array, options: Options, wide: _Wide) -> jax.Array:
    return _in_form(x, weight, options, True) if wide.output else _in_fours(x, weight, options)


def _conv_jvp(
    options: Options, wide: _Wide, primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    """Is the product rule, each term in its own form, for its transpose.

    The transpose of a plain convolution by the weight has the channels as batch, which XLA:CPU gives to YNNPACK; with
    the width of both operands and the stride doubled it goes to Eigen, which is faster there.
    """
    (x, weight), (dx, dw) = primals, tangents
    terms: list[jax.Array] = []
    if not isinstance(dx, SymbolicZero):
        terms.append(_in_form(dx, weight, options, wide.input_gradient))
    if not isinstance(dw, SymbolicZero):
        terms.append(_in_form(x, dw, options, wide.weight_gradient))
    y = _conv(x, weight, options, wide)
    return y, sum(terms[1:], terms[0]) if terms else jnp.zeros_like(y)


_conv.defjvp(_conv_jvp, symbolic_zeros=True)
