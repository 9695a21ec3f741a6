"""Graphs: the steps of a forward, each a module on earlier values."""

from typing import Any

import jax

from jseq._combinators import dataflow
from jseq._combinators.children import Children
from jseq._interop.layouts import to_last
from jseq._interop.to_torch.classes import Own, made, plain, submodule
from jseq._interop.to_torch.layouts import Layout, Move, collapsed, one
from jseq._interop.to_torch.registry import Call, Parts, convert, wanted
from jseq._layers.parameter import buffer, parameter
from jseq._layers.shape import permute
from jseq.core import Layer
from jseq.errors import ConversionError

OWN_ARRAYS = (parameter, buffer)


class Graph(Own):
    """Steps `value: (path of a module, inputs, move of the axes)`; the last value is the output."""

    def forward(self: Any, *x: Any) -> Any:
        last: Any = one(x)
        values = {dataflow.INPUT: last}
        for value, (path, names, move) in self.steps.items():
            last = move(dataflow.gathered(values, names))
            last = last if path is None else self.at(path, last)
            values[value] = last
        return last

    def at(self: Any, path: str, x: Any) -> Any:
        """What a layer gives: a module, or an array of the graph's own."""
        own = self._parameters.get(path, self._buffers.get(path))
        return submodule(self, path)(x) if own is None else own

    def extra_repr(self: Any) -> str:
        return "\n".join(
            f"{value} = {path or ''}({', '.join(names)})" for value, (path, names, _) in self.steps.items()
        )


def layer_at(layer: Layer, path: str) -> Layer:
    """The layer at a path."""
    for name in path.split("."):
        layer = {child.name: child.layer for child in Children(layer.children)}[name]
    return layer


def wanted_by_graph(layer: Layer) -> Layout | None:
    """What the first step wants that cares."""
    steps = layer.arguments["steps"]
    found = (wanted(layer_at(layer, path)) for path, *_ in steps.values())
    return next((w for w in found if w is not None), None)


class Wiring:
    """The modules of a graph as its steps ask for them, each with the layouts that it takes and gives."""

    def __init__(self, call: Call):
        self.call = call
        self.made: dict[str, tuple[Any, Layout, Layout]] = {}
        self.layouts: dict[str, Layout] = {dataflow.INPUT: call.spatial_dims}
        self.steps: dict[str, tuple[str | None, list[str], Move]] = {}
        paths = {path for path, *_ in call.options["steps"].values()}
        for path in paths:
            if any(other.startswith(f"{path}.") for other in paths):
                raise ConversionError(f"its steps use {path!r} and a layer inside it, which torch's modules do not.")

    def part(self, path: str) -> Call:
        """The layer at a path, with its params and state."""
        found = self.call
        for name in path.split("."):
            found = Parts(found).call(name)
        return found

    def step(self, value: str, path: str, names: list[str]) -> None:
        """Adds a step."""
        have = self.layouts[names[0]] if len(names) == 1 else tuple(self.layouts[name] for name in names)
        enters = self.channels_enter(value, path, have)
        if enters:
            self.steps[value], self.layouts[value] = (None, names, Move(0, 0)), enters
            return
        if path not in self.made:
            part = self.part(path)
            module, gives = convert(part.layer, part.params, part.state, have, path)
            self.made[path] = module, have, gives
        _, takes, gives = self.made[path]
        move = Move(0, 0) if collapsed(have) == collapsed(takes) else Move(have, takes)
        self.steps[value], self.layouts[value] = (path, names, move), gives

    def channels_enter(self, value: str, path: str, have: Layout) -> int:
        """How many spatial axes a permutation has that only puts them in the order for the steps after it; else 0."""
        layer = layer_at(self.call.layer, path)
        if have != 0 or layer.constructor is not permute:
            return 0
        n = len(layer.arguments["dims"]) - 1
        readers = [step for step in self.call.options["steps"].values() if value in step[1:]]
        wants = [wanted(layer_at(self.call.layer, step[0])) for step in readers]
        return n if layer == to_last(n) and wants and all(want == n for want in wants) else 0


def built_graph(call: Call) -> Any:
    """The module of a graph, and the layout of its output."""
    wiring = Wiring(call)
    for value, (path, *names) in call.options["steps"].items():
        wiring.step(value, path, names)
    module = made(Graph, tree(wiring, call, ""))
    for child in Children(call.layer.children):
        if child.layer.constructor in OWN_ARRAYS:  # an attribute in torch, not a module
            own = module._modules.pop(child.name)
            for held, arrays in ((module._parameters, own._parameters), (module._buffers, own._buffers)):
                for array in arrays.values():
                    held[child.name] = array
    module.steps = wiring.steps
    return module, wiring.layouts[next(reversed(wiring.steps))]


def tree(wiring: Wiring, call: Call, prefix: str) -> dict[str, Any]:
    """The modules by name: those of the steps, containers of such, and those that only keep their arrays."""
    found: dict[str, Any] = {}
    parts = Parts(call)
    for name in parts:
        path = prefix + name
        if path in wiring.made:
            found[name] = wiring.made[path][0]
        elif any(other.startswith(path + ".") for other in wiring.made):
            container = plain("Module")
            container._modules.update(tree(wiring, parts.call(name), path + "."))
            found[name] = container
        elif jax.tree.leaves((parts.call(name).params, parts.call(name).state)):
            found[name] = parts.convert(name, wanted(parts.call(name).layer) or 0)[0]
    return found
