"""How `summary` finds its figures: shapes by watching, operations and memory by reading jaxprs."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax

from jseq._combinators import paths
from jseq._core import calls, printing, values
from jseq._core.checks import by_path
from jseq._tools import memory
from jseq._tools.jaxprs import Scope, Tally, kept_arrays, size_in_bytes
from jseq._tools.places import Place, places
from jseq._tools.report import Row, Summary
from jseq._tools.tracing import Forward, Step, forward, training
from jseq.core import Layer

Names = tuple[str, ...]


def summarised(model: Layer, x: Any, train: bool, depth: int | None, context: Any) -> Summary:
    """The figures of a model; those of a training step are left out where there is none."""
    x = jax.tree.map(partial(calls.as_shape, call="jseq.summary(model, {})"), x)
    params, state = calls.expected_trees(model, x)
    run = forward(model, params, state, x, train, context)
    trouble, step = None, None
    try:
        step = training(model, params, state, x, context)
    except Exception as error:  # A model that evaluates and does not differentiate is still worth a table.
        trouble = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    inputs = [sum(map(size_in_bytes, jax.tree.leaves(tree))) for tree in (params, state, x)]
    outputs = memory.variables(run.jaxpr.outvars)
    return Summary(
        rows=tuple(rows(model, params, state, run, step, depth)),
        train=train,
        params_bytes=inputs[0],
        state_bytes=inputs[1],
        input_bytes=inputs[2],
        peak_bytes=sum(inputs) + memory.peak(run.jaxpr, outputs),
        step_peak_bytes=None if step is None else sum(inputs) + memory.peak(step.jaxpr, step.outputs),
        trouble=trouble,
    )


def rows(model: Layer, params: Any, state: Any, run: Forward, step: Step | None, depth: int | None) -> Iterable[Row]:
    """One row for each layer down to a depth."""
    here = [place for place in places(model) if depth is None or len(place.names) <= depth]
    tally, by_scope = Tally(), Scopes(here)
    params, state = sizes(params), sizes(state)
    flops = by_scope.summed(tally.of(run.jaxpr).items())
    step_flops = None if step is None else by_scope.summed(tally.of(step.jaxpr).items())
    kept = None
    if step is not None:
        kept = by_scope.summed((array.scope, array.bytes) for array in kept_arrays(step.jaxpr, step.kept))
    for place in here:
        yield Row(
            path=place.path,
            layer=one_line(place.layer),
            kind=place.layer.name,
            depth=len(place.names),
            y=run.gave.get(place.names),
            params=held(params, place),
            state=held(state, place),
            flops=flops.get(place.names, 0),
            step_flops=None if step_flops is None else step_flops.get(place.names, 0),
            kept_bytes=None if kept is None else int(kept.get(place.names, 0)),
        )


class Scopes:
    """Finds the layer that a scope of a jaxpr belongs to."""

    def __init__(self, here: Iterable[Place]):
        self.inside: dict[Names, dict[str, Names]] = {}
        for place in here:
            self.inside[place.names] = {}
            if place.names:
                self.inside[place.names[:-1]][place.scope] = place.names

    def find(self, scope: Scope) -> Names:
        """The names on the way to a layer; words that are none of a child's, such as "jvp", are passed over."""
        names: Names = ()
        for word in scope:
            names = self.inside[names].get(word, names)
        return names

    def summed(self, counts: Iterable[tuple[Scope, float]]) -> dict[Names, float]:
        """Counts by layer, those of the layers inside included."""
        total: dict[Names, float] = {}
        for scope, count in counts:
            names = self.find(scope)
            for length in range(len(names) + 1):
                total[names[:length]] = total.get(names[:length], 0) + count
        return total


def sizes(tree: Any) -> Mapping[str, int]:
    """The number of numbers in each container and leaf of a tree, by path."""
    total: dict[str, int] = {"": 0}
    for path, leaf in by_path(tree).items():
        parts = path.split(".")
        for length in range(len(parts) + 1):
            above = ".".join(parts[:length])
            total[above] = total.get(above, 0) + math.prod(leaf.shape)
    return total


def held(total: Mapping[str, int], place: Place) -> int:
    """The number of numbers that a layer holds, in all of its copies."""
    if "*" not in place.path:
        return total.get(place.path, 0)
    length = place.path.count(".")
    return sum(total[path] for path in paths.matching(total, place.path) if path.count(".") == length)


def one_line(layer: Layer) -> str:
    """A layer in one line; a combinator with its own options alone."""
    if layer.name == "lift":
        return printing.brief(layer)
    if not layer.children:
        return values.call_code(layer.name, layer.signature, layer.arguments)
    skip = printing.child_arguments(layer) | {name for name, v in layer.arguments.items() if isinstance(v, Layer)}
    options = values.options(layer.signature, layer.arguments, skip=skip, defaults=False)
    return f"{layer.name}({', '.join(options)})"
