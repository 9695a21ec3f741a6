"""A forward of the user's own, traced by torch.fx: its modules and functions as the steps of a graph."""

from collections.abc import Callable
from typing import Any

from jseq._combinators.dataflow import INPUT, graph
from jseq._combinators.graph import parallel
from jseq._combinators.sequential import sequential
from jseq._interop.layouts import Axes
from jseq._interop.torch_functions import as_module
from jseq._interop.torch_nodes import nodes_of
from jseq._interop.torch_products import layer_of_own, own_array
from jseq._interop.torch_sizes import is_shape
from jseq._interop.torch_special import special
from jseq._interop.torch_steps import Steps, built_module
from jseq._layers.linear import identity
from jseq.core import Layer
from jseq.errors import LayerError

Convert = Callable[..., tuple[Layer, Axes]]
CALLS = ("call_function", "call_method")


def wanted_by_trace(module: Any, first_wanted: Callable[[Any], int | None]) -> int | None:
    """The layout that the first step which cares for it takes; 0 for several inputs."""
    nodes = nodes_of(module)
    if len([node for node in nodes if node.op == "placeholder"]) > 1:
        return 0
    for node in nodes:
        wanted = None
        if node.op == "call_module":
            wanted = first_wanted(module.get_submodule(node.target))
        elif node.op in CALLS and not is_shape(node):
            built = as_module(node, None)
            wanted = first_wanted(built) if built is not None else special(node).wants
        if wanted is not None:
            return wanted
    return None


def traced(module: Any, axes: Axes, convert: Convert, path: str = "") -> tuple[Layer, Axes]:
    """The layer for a traced module: a sequential if each step takes the one before, else a graph."""
    nodes = nodes_of(module)
    steps = Steps(module, path, convert)
    steps.begin([node for node in nodes if node.op == "placeholder"], axes)
    for node in nodes:
        try:
            add(steps, node)
        except LayerError as error:
            error.name(f"{type(module).__name__}, step {node.name!r}")
            raise
    assert steps.result is not None, "fx ends each graph with an output"
    add_unread(steps)
    layers = with_containers(steps)
    if is_chain(steps, layers):
        return sequential({name: layers[name] for name, _ in steps.steps.values()}), steps.result.axes
    return graph(layers, steps.steps), steps.result.axes


def add(steps: Steps, node: Any) -> None:
    """Adds what a node does."""
    if node.op == "output":
        steps.finish(node)
    elif node.op == "call_module":
        steps.values[node] = steps.call_module(node, steps.module.get_submodule(node.target), node.target)
    elif node.op == "get_attr":
        steps.values[node] = own_array(steps, node.target)
    elif node.op in CALLS and not is_shape(node):
        built = built_module(steps, node)
        steps.values[node] = special(node).add(steps, node) if built is None else steps.call_module(node, built, None)


def add_unread(steps: Steps) -> None:
    """Keeps the arrays of the module's own that its forward does not read, as the state dict does."""
    own = {**steps.module._parameters, **steps.module._buffers}
    for name, array in own.items():
        if array is not None and name not in steps.layers and name not in steps.module._non_persistent_buffers_set:
            steps.layers[name] = layer_of_own(steps.module, name)


def is_chain(steps: Steps, layers: dict[str, Layer]) -> bool:
    """Whether every layer is used once, each on the value of the step before."""
    before = [INPUT, *steps.steps]
    inputs = [step[1:] for step in steps.steps.values()]
    used = [step[0] for step in steps.steps.values()]
    chained = inputs == [(name,) for name in before[:-1]]
    return chained and len(set(used)) == len(used) and set(used) == set(layers)


def with_containers(steps: Steps) -> dict[str, Layer]:
    """The layers by name; those inside a ModuleList and the like as the children of a `parallel`."""
    functions = {name: layer for name, layer in steps.layers.items() if name not in dict(steps.module.named_modules())}
    modules = {name: of_child(steps, child, name) for name, child in steps.module._modules.items() if child is not None}
    return {name: layer for name, layer in modules.items() if layer is not None} | functions


def of_child(steps: Steps, child: Any, path: str) -> Layer | None:
    """The layer of a child: used by a step, holding such layers, or kept for its parameters alone."""
    if path in steps.layers:
        return steps.layers[path]
    if not any(name.startswith(f"{path}.") for name in steps.layers):
        if not child.state_dict():
            return None
        if type(child).__name__ not in ("ModuleList", "ModuleDict"):
            return steps.convert(child, Axes(given=True), path)[0]
    inside = {name: of_child(steps, one, f"{path}.{name}") or identity() for name, one in child._modules.items()}
    positional = list(inside) == [str(i) for i in range(len(inside))]
    return parallel(*inside.values()) if positional else parallel(inside)
