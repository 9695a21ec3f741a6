"""Combinators that give a model its shape: side by side, branching, meeting again."""

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import jax

from jseq._combinators.children import Children
from jseq.core import Layer, layer, no_params
from jseq.errors import OptionError, ShapeError, describe

Context = Mapping[str, Any] | None


def apply_each(
    children: Children, xs: Sequence[Any], params: Any, state: Any, key: Any, train: bool, context: Context
) -> tuple[tuple[Any, ...], Any]:
    """Applies every child to its own input: `(outputs, states)`."""
    ys: list[Any] = []
    states: list[Any] = []
    for (child, p, s), x in zip(children.zip(params, state), xs, strict=True):
        y, s = child.apply(p, s, x, key=key, train=train, context=context)
        ys.append(y)
        states.append(s)
    return tuple(ys), children.join(states)


@layer
def branch(*layers: Layer | Any):
    """Applies every layer to the same input: `y = (f_0(x), f_1(x), ...)`.

    Follow it with `concatenate()`, `add()` or `multiply()` to bring the branches together.

    Args:
        *layers: layers or functions, or one mapping of them.

    Input: what every layer takes.
    Output: a tuple with one entry per layer, also when the layers have names.
    Params: a tuple with one entry per layer; with names, a dict of the same names.
    State: the same container.
    Context: what the layers read.

    Raises:
        CallError: an argument is no layer.
        ParamsError: params or state of another model.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.branch(jseq.linear(4, 3), jseq.identity()), jseq.concatenate())
        >>> model.apply(model.init(jax.random.key(0)), jnp.ones((2, 4))).shape
        (2, 7)
    """
    children = Children(layers)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        return children.init_branches(key, [x] * len(children))

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        return apply_each(children, [x] * len(children), params, state, key, train, context)

    return init, apply, children.layers


@layer
def parallel(*layers: Layer | Any):
    """Applies the i-th layer to the i-th input: `y = (f_0(x_0), f_1(x_1), ...)`.

    Args:
        *layers: layers or functions, or one mapping of them.

    Input: a tuple with one entry per layer.
    Output: a tuple with one entry per layer.
    Params: a tuple with one entry per layer; with names, a dict of the same names.
    State: the same container.
    Context: what the layers read.

    Raises:
        ShapeError: x is no tuple of as many entries as there are layers.
        CallError: an argument is no layer.
        ParamsError: params or state of another model.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> towers = jseq.parallel({"user": jseq.linear(4, 8), "item": jseq.linear(6, 8)})
        >>> user, item = towers.apply(towers.init(jax.random.key(0)), (jnp.ones((2, 4)), jnp.ones((2, 6))))
        >>> user.shape, item.shape
        ((2, 8), (2, 8))
    """
    children = Children(layers)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        return children.init_branches(key, [None] * len(children) if x is None else entries(x, len(children)))

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        return apply_each(children, entries(x, len(children)), params, state, key, train, context)

    return init, apply, children.layers


def entries(x: Any, count: int | None = None) -> tuple[Any, ...]:
    """The entries of a tuple; refuses what is no tuple, or one of another length."""
    if not isinstance(x, tuple) or (count is not None and len(x) != count):  # pyright: ignore[reportUnknownArgumentType]
        wanted = "a tuple of arrays" if count is None else f"a tuple of {count} arrays, one for each layer"
        raise ShapeError(f"expected x to be {wanted}, got {describe(x)}.")
    return x


@layer
def residual(layer: Layer | Any, shortcut: Layer | Any | None = None):
    """Adds the input to the output: `y = layer(x) + shortcut(x)`.

    Args:
        layer: the layer or function to go around; `sequential(...)` for several.
        shortcut: layer on the way around, such as a 1x1 convolution; None is the identity.

    Input: what the layer takes.
    Output: what the layer gives; with no shortcut it has the shape of the input.
    Params: `{"layer": ...}`, and `"shortcut"` if there is one.
    State: the same container.
    Context: what the layers read.

    Raises:
        ShapeError: the two sides do not have the same shape.

    He et al. 2015, arXiv:1512.03385.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> block = jseq.residual(jseq.sequential(jseq.layer_norm(4), jseq.linear(4, 4)))
        >>> block.apply(block.init(jax.random.key(0)), jnp.ones((2, 4))).shape
        (2, 4)
    """
    children = Children({"layer": layer} if shortcut is None else {"layer": layer, "shortcut": shortcut}, main="layer")

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        return children.init_branches(key, [x] * len(children))

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        ys, states = apply_each(children, [x] * len(children), params, state, key, train, context)
        y, around = ys if shortcut is not None else (*ys, x)
        same = jax.tree.structure(y) == jax.tree.structure(around)
        if not same or describe(y) != describe(around):
            raise ShapeError(f"expected both sides to have one shape, got {describe(y)} from the layer and "
                             f"{describe(around)} around it. A shortcut can change the shape: "
                             "residual(layer, shortcut=linear(...)).")  # fmt: skip
        return jax.tree.map(lambda a, b: a + b, y, around), states

    return init, apply, children.layers


@layer
def concatenate(axis: int = -1):
    """Joins the entries of a tuple along one axis.

    Args:
        axis: the axis to join along; the default is the features.

    Input: a tuple of arrays that differ in that axis alone.
    Output: one array.
    Params: none, `()`.

    Raises:
        ShapeError: x is no tuple, or the other axes differ.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.concatenate().apply((), (jnp.ones((2, 3)), jnp.ones((2, 4)))).shape
        (2, 7)
    """

    def apply(params: tuple[()], x: Any) -> jax.Array:
        xs = entries(x)
        rank = max((a.ndim for a in xs), default=0)
        others = {(a.ndim, *(n for i, n in enumerate(a.shape) if i != axis % max(a.ndim, 1))) for a in xs}
        if len(others) != 1 or not -rank <= axis < rank:
            raise ShapeError(f"expected arrays that differ in axis {axis} alone, got {describe(x)}.")
        return jax.numpy.concatenate(xs, axis)

    return no_params, apply


@layer
def add(broadcast: bool = False):
    """Adds the entries of a tuple: `y = x_0 + x_1 + ...`.

    Args:
        broadcast: whether axes of size 1 are repeated, as torch does; no axes are added.

    Input: a tuple of arrays of one shape and dtype; with broadcast, of as many axes.
    Output: one array of that shape.
    Params: none, `()`.

    Raises:
        ShapeError: x is no tuple, or the shapes differ: nothing is broadcast by accident.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.add().apply((), (jnp.ones(2), jnp.ones(2)))
        Array([2., 2.], dtype=float32)
    """

    def apply(params: tuple[()], x: Any) -> jax.Array:
        return reduce(operator.add, alike(x, broadcast))

    return no_params, apply


@layer
def multiply(broadcast: bool = False):
    """Multiplies the entries of a tuple: `y = x_0 * x_1 * ...`; a gate is `multiply` of a value and a sigmoid.

    Args:
        broadcast: whether axes of size 1 are repeated, as torch does; no axes are added. A gate of whole channels,
            (N, 1, 1, C), wants it.

    Input: a tuple of arrays of one shape and dtype; with broadcast, of as many axes.
    Output: one array of that shape.
    Params: none, `()`.

    Raises:
        ShapeError: x is no tuple, or the shapes differ: nothing is broadcast by accident.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.multiply().apply((), (jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])))
        Array([3., 8.], dtype=float32)
    """

    def apply(params: tuple[()], x: Any) -> jax.Array:
        return reduce(operator.mul, alike(x, broadcast))

    return no_params, apply


def alike(x: Any, broadcast: bool = False) -> tuple[jax.Array, ...]:
    """The entries of a tuple of arrays that all have one shape and dtype, but for axes of size 1 if those count."""
    xs = entries(x)
    if len({describe(a) for a in xs}) == 1:
        return xs
    if not broadcast:
        raise ShapeError(f"expected arrays of one shape and dtype, got {describe(x)}.")
    fits = len({(a.ndim, a.dtype) for a in xs}) == 1
    if not fits or any(len({*sizes} - {1}) > 1 for sizes in zip(*(a.shape for a in xs), strict=True)):
        raise ShapeError("expected arrays of one dtype with as many axes, each of one size or of size 1, "
                         f"got {describe(x)}.")  # fmt: skip
    return xs


@layer
def select(*indices: int):
    """Takes entries of a tuple, in any order and as often as wanted: `select(1, 0)` swaps two.

    Args:
        *indices: positions in the tuple; one position gives that entry alone, several give a tuple.

    Input: a tuple.
    Output: the entry, or a tuple of entries.
    Params: none, `()`.

    Raises:
        ShapeError: x is no tuple, or has no such entry.
        OptionError: no index, or one that is no whole number.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.select(1).apply((), (jnp.zeros(2), jnp.ones(2)))
        Array([1., 1.], dtype=float32)
    """
    if not indices or not all(isinstance(index, int) for index in indices):
        raise OptionError(f"select takes positions in a tuple, such as select(1, 0); got {indices!r}.")

    def apply(params: tuple[()], x: Any) -> Any:
        xs = entries(x)
        if not all(-len(xs) <= index < len(xs) for index in indices):
            raise ShapeError(f"expected x with entries {', '.join(map(str, indices))}, got {describe(x)}.")
        return xs[indices[0]] if len(indices) == 1 else tuple(xs[index] for index in indices)

    return no_params, apply
