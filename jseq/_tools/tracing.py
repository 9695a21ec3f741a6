"""A model traced from shapes alone: what its layers give, its forward pass and a training step as jaxprs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jseq._core import calls
from jseq._core.sharing import function_of
from jseq._core.watching import watched_by
from jseq._tools.places import places
from jseq._tools.probes import is_inexact
from jseq._tools.selection import merge
from jseq.core import Layer, with_state

Names = tuple[str, ...]


@dataclass(frozen=True)
class Forward:
    """A forward pass.

    Attributes:
        gave: the shape that each layer gave first, by the names of the children on the way to it.
        jaxpr: the whole pass.
    """

    gave: dict[Names, Any]
    jaxpr: Any


@dataclass(frozen=True)
class Step:
    """A training step without the optimiser: `outputs` are gradients and state, `kept` what backward reads."""

    jaxpr: Any
    outputs: list[Any]
    kept: list[Any]


class Once:
    """A watcher that writes down what layers give, and traces equal layers on equal shapes once.

    A layer that stands in several places is called through `jax.jit`, which keeps what it has traced, the derivatives
    too. So 32 equal blocks cost what one does: a model of 32 causal attentions over 2048 steps took 10 s without.
    """

    def __init__(self, model: Layer):
        self.gave: dict[Names, Any] = {}
        self.first: dict[Any, Names] = {}
        self.times = Counter(place.layer for place in places(model))
        # Not `sharing.program`: what that has traced before calls no watcher.
        self.jitted: dict[tuple[Layer, bool], Callable[..., Any]] = {}

    def __call__(
        self, names: Names, layer: Layer, params: Any, state: Any, x: Any, key: Any, train: bool, context: Any
    ) -> tuple[Any, Any]:
        arguments = (params, state, x, key, context)
        if self.times[layer] < 2:
            y, state = calls.run_apply(layer, params, state, x, key, train, context)
        else:
            if (layer, train) not in self.jitted:
                self.jitted[layer, train] = jax.jit(function_of(layer, train))
            y, state = self.jitted[layer, train](*arguments)
            leaves, structure = jax.tree.flatten(arguments)
            first = self.first.setdefault((layer, structure, tuple(map(jax.typeof, leaves))), names)
            inside = {path[len(first) :]: given for path, given in self.gave.items() if path[: len(first)] == first}
            self.gave |= {(*names, *path): given for path, given in inside.items()}
        self.gave.setdefault(names, jax.tree.map(calls.as_shape, y))
        return y, state


def forward(model: Layer, params: Any, state: Any, x: Any, train: bool, context: Any) -> Forward:
    """Traces a forward pass; raises what `apply` raises."""
    watcher = Once(model)

    def run(params: Any, state: Any, x: Any, key: Any, context: Any) -> Any:
        with watched_by(watcher):
            y, state = with_state(model).apply(params, state, x, key=key, train=train, context=context)
        watcher.gave[()] = jax.tree.map(calls.as_shape, y)
        return y, state

    return Forward(watcher.gave, traced(run, params, state, x, context))


def training(model: Layer, params: Any, state: Any, x: Any, context: Any) -> Step:
    """Traces the gradient with respect to the floating params of the sum of the outputs, in training mode."""
    counts: list[int] = []

    def step(params: Any, state: Any, x: Any, key: Any, context: Any) -> Any:
        floats = jax.tree.map(lambda leaf: leaf if is_inexact(leaf) else None, params)
        rest = jax.tree.map(lambda leaf: None if is_inexact(leaf) else leaf, params)

        def floating_outputs(floats: Any) -> tuple[Any, Any]:
            with watched_by(Once(model)):
                y, new = with_state(model).apply(merge(floats, rest), state, x, key=key, train=True, context=context)
            return [leaf for leaf in jax.tree.leaves(y) if is_inexact(leaf)], new

        ys, pull, new = jax.vjp(floating_outputs, floats, has_aux=True)
        gradient = pull(jax.tree.map(jnp.ones_like, ys))
        outputs = jax.tree.leaves((gradient, new))
        counts.append(len(outputs))
        return outputs, jax.tree.leaves(pull)

    jaxpr = traced(step, params, state, x, context)
    return Step(jaxpr, jaxpr.outvars[: counts[0]], jaxpr.outvars[counts[0] :])


def traced(function: Callable[..., Any], params: Any, state: Any, x: Any, context: Any) -> Any:
    """The jaxpr of a function of params, state, x, a key and a context."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.make_jaxpr(function)(params, state, x, key, context).jaxpr
