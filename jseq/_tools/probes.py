"""Watchers that count non-finite numbers: in what layers take and give, and in the gradients that pass them.

Counts of the forward pass leave with the state, as taps do. Counts of the backward pass are gradients with respect to
arrays that enter with the state and change nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jseq._core import calls
from jseq._tools.tapping import Given, Names, Taken
from jseq.core import Layer


def is_inexact(leaf: Any) -> bool:
    """Whether an array can hold NaN or inf."""
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def count(tree: Any) -> jax.Array:
    """How many numbers of a tree are NaN or inf."""
    total = jnp.zeros((), jnp.float32)
    for leaf in jax.tree.leaves(tree):
        if is_inexact(leaf):
            total = total + jnp.sum(~jnp.isfinite(leaf), dtype=jnp.float32)
    return total


@jax.custom_vjp
def entering(xs: Any, params: Any, tap: jax.Array) -> tuple[Any, Any, jax.Array]:
    """Passes on what a layer takes, and a thread to `leaving`: the gradient of tap is what `count` says of gradients.

    They are those of x, of params, and of what the layer gives: `leaving` sends the last back along the thread.
    """
    return xs, params, jnp.zeros((), jnp.float32)


def entering_backward(_: None, gradients: tuple[Any, Any, jax.Array]) -> tuple[Any, Any, jax.Array]:
    xs, params, given = gradients
    return xs, params, jnp.stack([count(xs), count(params), given])


@jax.custom_vjp
def leaving(ys: Any, thread: jax.Array) -> Any:
    """Passes on what a layer gives."""
    return ys


entering.defvjp(lambda xs, params, tap: (entering(xs, params, tap), None), entering_backward)
leaving.defvjp(lambda ys, thread: (ys, None), lambda _, gradients: (gradients, count(gradients)))


def floats(tree: Any) -> list[Any]:
    """The leaves through which gradients pass."""
    return [leaf for leaf in jax.tree.leaves(tree) if is_inexact(leaf)]


def with_floats(tree: Any, leaves: Sequence[Any]) -> Any:
    """The tree with these leaves for its floating ones."""
    new = iter(leaves)
    return jax.tree.map(lambda leaf: next(new) if is_inexact(leaf) else leaf, tree)


def probed(layer: Layer, params: Any, state: Any, x: Any, call: Sequence[Any], tap: jax.Array) -> tuple[Any, Any]:
    """Applies a layer between `entering` and `leaving`."""
    xs, ps, thread = entering(floats(x), floats(params), tap)
    y, state = calls.run_apply(layer, with_floats(params, ps), state, with_floats(x, xs), *call)  # pyright: ignore
    return with_floats(y, leaving(floats(y), thread)), state


class Counting:
    """Counts what is not finite in x, params and y of each layer, in the order in which they begin."""

    def __init__(self, here: Mapping[Names, str]):
        self.here, self.order = here, dict[str, int]()

    def __call__(self, names: Names, layer: Layer, params: Any, state: Any, x: Any, *call: Any) -> tuple[Any, Any]:
        path, earlier = self.here.get(names), ()
        if path is None:
            return calls.run_apply(layer, params, state, x, *call)  # pyright: ignore
        if isinstance(state, Taken):  # the second use of a layer in a graph
            state, earlier = state.state, state.values.get(path, ())
        self.order.setdefault(path, len(self.order))
        y, state = calls.run_apply(layer, params, state, x, *call)  # pyright: ignore
        return y, Taken(state, {path: (*earlier, jnp.stack([count(x), count(params), count(y)]))})


class Probing:
    """Has the gradients counted that pass each layer whose tap is in its state."""

    def __init__(self, here: Mapping[Names, str]):
        self.here = here

    def __call__(self, names: Names, layer: Layer, params: Any, state: Any, x: Any, *call: Any) -> tuple[Any, Any]:
        path = self.here.get(names)
        if not isinstance(state, Given) or path not in state.values:
            return calls.run_apply(layer, params, state, x, *call)  # pyright: ignore
        rest = dict(state.values)
        tap = rest.pop(path)
        y, state = probed(layer, params, Given(state.state, rest) if rest else state.state, x, call, tap)
        return y, Given(state, {path: tap})  # for the next use of the layer


class Taking:
    """Takes what one layer was given: x and params."""

    def __init__(self, here: Names, path: str):
        self.here, self.path = here, path

    def __call__(self, names: Names, layer: Layer, params: Any, state: Any, x: Any, *call: Any) -> tuple[Any, Any]:
        if names != self.here:
            return calls.run_apply(layer, params, state, x, *call)  # pyright: ignore
        state, earlier = (state.state, state.values[self.path]) if isinstance(state, Taken) else (state, ())
        y, state = calls.run_apply(layer, params, state, x, *call)  # pyright: ignore
        return y, Taken(state, {self.path: (*earlier, (x, params))})
