"""Convolutions by windows of 3x3 in tiles, as an operation of JAX's: `winograd.py` is what it computes.

An operation, not a function, for two reasons. Its derivatives are convolutions in tiles themselves, in forward and in
reverse mode and of every order; the gradient of the input that JAX finds for the function takes 1.3 of the time. And
`jax.vmap` over images merges them into the batch; mapped as they stand, the parts of the batch leave the cache, and
take 0.6 to 2.1 times as long as XLA's own convolution (eight shapes).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jseq.functional import winograd
from jseq.functional.windows import Pairs

_output = Primitive("conv_tiled")
_weight_gradient = Primitive("conv_tiled_weight_gradient")


def conv_tiled(x: jax.Array, weight: jax.Array, padding: Pairs) -> jax.Array:
    """Convolves x (batch, height, width, in) by weight (3, 3, in, out), with a stride and a dilation of one."""
    return _output.bind(x, weight, padding=padding)


def _by_weight(x: jax.Array, g: jax.Array, padding: Pairs) -> jax.Array:
    return _weight_gradient.bind(x, g, padding=padding)


def _by_input(g: jax.Array, weight: jax.Array, padding: Pairs) -> jax.Array:
    opposite = tuple((2 - low, 2 - high) for low, high in padding)
    return conv_tiled(g, lax.transpose(lax.rev(weight, (0, 1)), (0, 1, 3, 2)), opposite)


def _output_type(x: Any, weight: Any, padding: Pairs) -> Any:
    return x.update(shape=winograd.output_shape(x.shape, weight.shape, padding), weak_type=False)


def _weight_type(x: Any, g: Any, padding: Pairs) -> Any:
    return x.update(shape=(3, 3, x.shape[3], g.shape[3]), weak_type=False)


def _map_output(args: Any, axes: Any, padding: Pairs) -> tuple[jax.Array, int]:
    (x, weight), (axis, weights) = args, axes
    if weights is not None:
        return _one_by_one(conv_tiled, tuple(args), tuple(axes), padding), 0
    x = jnp.moveaxis(x, axis, 0)
    members, n, *image = x.shape
    y = conv_tiled(x.reshape(members * n, *image), weight, padding)
    return y.reshape(members, n, *y.shape[1:]), 0


def _map_weight_gradient(args: Any, axes: Any, padding: Pairs) -> tuple[jax.Array, int]:
    return _one_by_one(_by_weight, tuple(args), tuple(axes), padding), 0


@partial(jax.jit, static_argnames=("function", "axes", "padding"))  # compiled once, without a jit around it too
def _one_by_one(function: Any, args: Any, axes: Any, padding: Pairs) -> jax.Array:
    mapped = [jnp.moveaxis(a, axis, 0) for a, axis in zip(args, axes, strict=True) if axis is not None]

    def one(given: list[jax.Array]) -> jax.Array:
        rest = iter(given)
        return function(*(a if axis is None else next(rest) for a, axis in zip(args, axes, strict=True)), padding)

    return lax.map(one, mapped)


_output.def_abstract_eval(_output_type)
_weight_gradient.def_abstract_eval(_weight_type)
_output.def_impl(jax.jit(winograd.output, static_argnames="padding"))
_weight_gradient.def_impl(jax.jit(winograd.weight_gradient, static_argnames="padding"))
mlir.register_lowering(_output, mlir.lower_fun(winograd.output, multiple_results=False))
mlir.register_lowering(_weight_gradient, mlir.lower_fun(winograd.weight_gradient, multiple_results=False))
ad.defbilinear(
    _output,
    lambda g, x, weight, padding: _by_input(g, weight, padding),
    lambda g, x, weight, padding: _by_weight(x, g, padding),
)
ad.defbilinear(
    _weight_gradient,
    lambda dw, x, g, padding: _by_input(g, dw, padding),
    lambda dw, x, g, padding: conv_tiled(x, dw, padding),
)
batching.primitive_batchers[_output] = _map_output
batching.primitive_batchers[_weight_gradient] = _map_weight_gradient
