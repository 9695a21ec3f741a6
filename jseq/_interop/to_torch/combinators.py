"""Combinators: nn.Sequential where torch has one, a few lines of forward elsewhere."""

from typing import Any

import jax

from jseq._combinators import dataflow, depth, ensemble, freezing, mlp, sequential, with_memory
from jseq._combinators import graph as graphs
from jseq._interop.extras import need
from jseq._interop.to_torch.beyond import concatenation
from jseq._interop.to_torch.classes import Own, chained, made
from jseq._interop.to_torch.layouts import Layout, Move, entered, entry, first, one
from jseq._interop.to_torch.registry import Call, Parts, convert, converter, inside, of_child, wanted, wrapped
from jseq._interop.to_torch.wiring import built_graph, wanted_by_graph
from jseq.core import Layer
from jseq.errors import ConversionError


def children_of(layer: Layer) -> list[Layer]:
    """The layers inside, in order."""
    inner = layer.children
    return list(inner) if isinstance(inner, tuple) else list(inner.values())


def first_wanted(layer: Layer) -> Layout | None:
    """What the first child wants that cares."""
    return next((w for child in children_of(layer) if (w := wanted(child)) is not None), None)


@converter(sequential.sequential, mlp.mlp, wants=first_wanted, whole=True)
def chain(call: Call) -> Any:
    parts, layout = Parts(call), call.spatial_dims
    modules: dict[str, Any] = {}
    for name in parts:
        modules[name], layout = parts.convert(name, layout)
    return chained(modules), layout


class Branch(Own):
    """Applies every child to the same input."""

    def forward(self: Any, *x: Any) -> Any:
        return tuple(child(one(x)) for child in self._modules.values())


@converter(graphs.branch, wants=first_wanted, whole=True)
def branch(call: Call) -> Any:
    parts = Parts(call)
    return side_by_side(Branch, parts, [call.spatial_dims] * len(parts))


def side_by_side(own: type, parts: Parts, layouts: list[Layout]) -> Any:
    """A module of children, each with its own input layout, and the tuple of their output layouts."""
    found = {name: parts.convert(name, have) for name, have in zip(parts, layouts, strict=True)}
    return made(own, {name: module for name, (module, _) in found.items()}), tuple(g for _, g in found.values())


class Parallel(Own):
    """Applies the i-th child to the i-th input."""

    def forward(self: Any, *x: Any) -> Any:
        return tuple(child(v) for child, v in zip(self._modules.values(), one(x), strict=True))


def wanted_each(layer: Layer) -> Layout | None:
    """What each child wants, of its own entry."""
    wants = [wanted(child) for child in children_of(layer)]
    return None if all(w is None for w in wants) else tuple(0 if w is None else w for w in wants)


@converter(graphs.parallel, wants=wanted_each, whole=True)
def parallel(call: Call) -> Any:
    parts = Parts(call)
    return side_by_side(Parallel, parts, [entry(call.spatial_dims, i) for i in range(len(parts))])


class Residual(Own):
    """`y = layer(x) + shortcut(x)`."""

    def forward(self: Any, *x: Any) -> Any:
        given = one(x)
        return added(self.layer(given), self.around(self.shortcut(given) if hasattr(self, "shortcut") else given))


def added(a: Any, b: Any) -> Any:
    return tuple(added(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b  # pyright: ignore


@converter(graphs.residual, wants=first_wanted, whole=True)
def residual(call: Call) -> Any:
    parts, have = Parts(call), call.spatial_dims
    modules: dict[str, Any] = {}
    modules["layer"], gives = parts.convert("layer", have)
    if "shortcut" in parts:
        modules["shortcut"], have = parts.convert("shortcut", have)
    module = made(Residual, modules)
    module.around = Move(have, gives)
    return module, gives


class Add(Own):
    """The sum of a tuple."""

    def forward(self: Any, *x: Any) -> Any:
        first, *rest = one(x)
        for other in rest:
            first = first + other
        return first


class Multiply(Own):
    """The product of a tuple."""

    def forward(self: Any, *x: Any) -> Any:
        first, *rest = one(x)
        for other in rest:
            first = first * other
        return first


def together(module: Any, have: Layout) -> Any:
    """A module that combines a tuple of arrays, in the layout of the first of them."""
    return entered(module, have, first(have)), first(have)


@converter(graphs.add, whole=True)
def add(call: Call) -> Any:
    return together(made(Add), call.spatial_dims)


@converter(graphs.multiply, whole=True)
def multiply(call: Call) -> Any:
    return together(made(Multiply), call.spatial_dims)


@converter(graphs.concatenate, whole=True)
def concatenate(call: Call) -> Any:
    return together(concatenation(call.options["axis"], first(call.spatial_dims)), call.spatial_dims)


class Select(Own):
    """Entries of a tuple."""

    def forward(self: Any, *x: Any) -> Any:
        chosen = tuple(one(x)[i] for i in self.indices)
        return chosen[0] if len(chosen) == 1 else chosen


@converter(graphs.select, whole=True)
def select(call: Call) -> Any:
    indices, have = call.options["indices"], call.spatial_dims
    layouts = tuple(entry(have, i) for i in indices)
    return made(Select, indices=indices), layouts[0] if len(indices) == 1 else layouts


@converter(dataflow.graph, wants=wanted_by_graph, whole=True)
def graph(call: Call) -> Any:
    return built_graph(call)


class WithMemory(Own):
    """A chain of layers that all look at one memory."""

    def forward(self: Any, *x: Any) -> Any:
        y, memory = one(x)
        for child in self._modules.values():
            y = child((y, memory))
        return y


@converter(with_memory.with_memory, wants=first_wanted, whole=True)
def remembering(call: Call) -> Any:
    parts, have = Parts(call), call.spatial_dims
    layout, memory = entry(have, 0), entry(have, 1)
    modules: dict[str, Any] = {}
    for name in parts:
        modules[name], layout = parts.convert(name, (layout, memory))
    return made(WithMemory, modules), layout


@converter(depth.remat, wants=of_child, whole=True)
def same(call: Call) -> Any:
    return inside(call, call.spatial_dims)


@converter(freezing.freeze, wants=of_child, whole=True)
def frozen(call: Call) -> Any:
    module, gives = inside(call, call.spatial_dims)
    return module.requires_grad_(False), gives


def copy(tree: Any, i: int, stacked: bool = True) -> Any:
    """The params or the state of one copy."""
    return jax.tree.map(lambda leaf: leaf[i], tree) if stacked or not tree else tree[i]


@converter(depth.repeat, wants=of_child, whole=True)
def repeated(call: Call) -> Any:
    modules: dict[str, Any] = {}
    layout, stacked = call.spatial_dims, call.options["stacked"]
    for i in range(call.options["n"]):
        params, state = (copy(tree, i, stacked) for tree in (call.params, call.state))
        modules[str(i)], layout = convert(wrapped(call.layer), params, state, layout)
    return chained(modules), layout


class Ensemble(Own):
    """Members side by side, their outputs stacked on axis 0."""

    def forward(self: Any, x: Any) -> Any:
        members = self._modules.values()
        ys = [member(x if self.shared else x[i]) for i, member in enumerate(members)]
        return need("torch", "torch").stack(ys)


@converter(ensemble.ensemble, wants=of_child, whole=True)
def members(call: Call) -> Any:
    modules: dict[str, Any] = {}
    gives: Layout = 0
    for i in range(call.options["n"]):
        params, state = copy(call.params, i), copy(call.state, i)
        modules[str(i)], gives = convert(wrapped(call.layer), params, state, call.spatial_dims)
    if isinstance(gives, tuple):
        raise ConversionError("an ensemble of layers that give tuples has no torch module.")
    return made(Ensemble, modules, shared=call.options["shared"]), gives
