"""Weights that are functions of the params: any function, and weight norm."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.children import inner
from jseq._combinators.plain import plain_function
from jseq.core import Layer, layer
from jseq.errors import OptionError, ParamsError, ShapeError, describe

Context = Mapping[str, Any] | None


@layer
def parametrize(layer: Layer | Any, select: str | tuple[str, ...], fn: Any):
    """Applies a layer with some of its params replaced by a function of them: `y = f(fn(weight), x)`.

    The params are those of the layer, with the same initial values; gradients pass through fn.

    Args:
        layer: the layer whose params are replaced.
        select: path of a parameter in the layer, such as "weight" or "0.weight", or a tuple of paths.
        fn: a function of one array that keeps its shape, or a layer without params, state and randomness. A public
            function of jax, such as `jax.nn.softplus`, or a layer can be written to JSON.

    Input, Output, Params, State, Context: those of the layer.

    Raises:
        OptionError: a path that the layer does not have (at construction, or at `init` where sizes are inferred);
            fn has params, keeps state or draws random numbers.
        ShapeError: fn changes the shape.

    Follows `torch.nn.utils.parametrize.register_parametrization`, without `right_inverse`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> positive = jseq.parametrize(jseq.linear(3, 2), "weight", jax.nn.softplus)
        >>> y = positive.apply(positive.init(jax.random.key(0)), jnp.ones((4, 3)))
        >>> bool((y > 0).all())
        True
    """
    child, names, function = inner(layer), paths.as_paths(select), plain_function(fn, "fn")
    paths.check_declared(child.layer, names)

    def replaced(weight: jax.Array) -> jax.Array:
        made = function(weight)
        if jnp.shape(made) != weight.shape:
            raise ShapeError(f"expected fn to keep the shape, got {describe(made)} of {describe(weight)}.")
        return made

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state, _ = child.init(key, x)
        for name in names:
            replaced(paths.get(params, name, OptionError))
        return params, state

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        for name in names:
            params = paths.replace(params, name, replaced(paths.get(params, name)))
        return child.apply(params, state, x, key=key, train=train, context=context)

    return init, apply, child.layer


@layer
def weight_norm(layer: Layer | Any, name: str = "weight", dim: int | None = -1):
    """Splits a weight into its length and its direction: `weight = v * g / |v|`.

    Args:
        layer: the layer whose weight is split.
        name: path of the weight in the layer.
        dim: the axis that keeps a length for each of its entries; None takes one length for the whole array.
            -1 is the output axis of linear and convolution layers, as torch's dim=0 is. (torch's dim=0 of a
            transposed convolution is the input axis, -2 here; that of an embedding the rows, 0 here.)

    Input, Output, State, Context: those of the layer.
    Params: those of the layer with `weight` replaced by `weight_g`, shape 1 but along dim, and `weight_v`, shaped
        like the weight: torch's `parametrizations.weight.original0` and `original1`.

    Raises:
        OptionError: a path that the layer does not have, or an axis that the weight does not have.

    Follows `torch.nn.utils.parametrizations.weight_norm` (Salimans and Kingma 2016, arXiv:1602.07868).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.weight_norm(jseq.linear(3, 2))
        >>> params = model.init(jax.random.key(0))
        >>> {name: leaf.shape for name, leaf in sorted(params.items())}
        {'bias': (2,), 'weight_g': (1, 2), 'weight_v': (3, 2)}
    """
    child = inner(layer)
    paths.check_declared(child.layer, (name,))
    long, short = f"{name}_v", f"{name}_g"

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state, _ = child.init(key, x)
        weight = paths.get(params, name, OptionError)
        params = paths.insert(paths.remove(params, name), short, lengths(weight, dim))
        return paths.insert(params, long, weight), state

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        g, v = paths.get(params, short), paths.get(params, long)
        norm = lengths(v, dim)
        if jnp.shape(g) != norm.shape:
            raise ParamsError(f"params do not fit: {short}: expected {describe(norm)}, got {describe(g)}. "
                              "Make them with this model's init.")  # fmt: skip
        params = paths.insert(paths.remove(paths.remove(params, short), long), name, v * (g / norm))
        return child.apply(params, state, x, key=key, train=train, context=context)

    return init, apply, child.layer


def lengths(weight: jax.Array, dim: int | None) -> jax.Array:
    """Euclidean lengths over every axis but one, kept as axes of size 1."""
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise OptionError(f"dim={dim} is no axis of a weight of shape {weight.shape}.")
    kept = None if dim is None else dim % weight.ndim
    axes = tuple(axis for axis in range(weight.ndim) if axis != kept)
    return jnp.sqrt(jnp.sum(weight * weight, axes, keepdims=True))
