"""Combinators in ONNX: the walk from layer to layer."""

from collections.abc import Mapping
from typing import Any

from jseq._combinators import (
    adapt,
    dataflow,
    layout,
    mlp,
    paths,
    sequential,
    transformer,
    transformer_layers,
    with_memory,
)
from jseq._combinators import graph as graphs
from jseq._combinators.block import named_masks
from jseq._combinators.children import Child, Children
from jseq._combinators.transformer_layers import decoder_masks
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, emit, onnx_emitter
from jseq._interop.onnx.value import Value
from jseq.core import Layer, as_layer

Context = Mapping[str, Any]


class Parts:
    """The children of a combinator by name, each with its params and state."""

    def __init__(self, graph: Graph, call: Call):
        inside = Children(call.layer.children)
        self.graph, self.context = graph, call.context
        trees = inside.zip(call.params, call.state)
        self.parts: dict[str, tuple[Child, Any, Any]] = {child.name: (child, p, s) for child, p, s in trees}

    def __iter__(self) -> Any:
        return iter(self.parts)

    def __contains__(self, name: str) -> bool:
        return name in self.parts

    def entry(self, name: str) -> tuple[Layer, Any, Any]:
        """The layer, params and state of one child."""
        child, params, state = self.parts[name]
        return child.layer, params, state

    def __call__(self, name: str, x: Any, context: Context | None = None) -> Any:
        """Writes one child."""
        child, params, state = self.parts[name]
        return emit(self.graph, child.layer, params, state, x, self.context if context is None else context, name)


@onnx_emitter(sequential.sequential, mlp.mlp)
def chain(graph: Graph, call: Call) -> Any:
    run, x = Parts(graph, call), call.x
    for name in run:
        x = run(name, x)
    return x


@onnx_emitter(graphs.branch)
def branch(graph: Graph, call: Call) -> Any:
    run = Parts(graph, call)
    return tuple(run(name, call.x) for name in run)


@onnx_emitter(graphs.parallel)
def parallel(graph: Graph, call: Call) -> Any:
    run = Parts(graph, call)
    return tuple(run(name, x) for name, x in zip(run, call.x, strict=True))


@onnx_emitter(graphs.residual)
def residual(graph: Graph, call: Call) -> Any:
    run = Parts(graph, call)
    y, around = run("layer", call.x), run("shortcut", call.x) if "shortcut" in run else call.x
    return summed(y, around)


def summed(a: Any, b: Any) -> Any:
    return tuple(summed(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b


@onnx_emitter(graphs.concatenate)
def concatenate(graph: Graph, call: Call) -> Value:
    return graph.concat(list(call.x), call.options["axis"])


@onnx_emitter(graphs.add, graphs.multiply)
def reduced(graph: Graph, call: Call) -> Value:
    total, *rest = call.x
    sums = call.layer.name == "add"
    for x in rest:
        total = total + x if sums else total * x
    return total


@onnx_emitter(graphs.select)
def select(graph: Graph, call: Call) -> Any:
    chosen = tuple(call.x[i] for i in call.options["indices"])
    return chosen[0] if len(chosen) == 1 else chosen


@onnx_emitter(dataflow.graph)
def wired(graph: Graph, call: Call) -> Any:
    """The steps in order; a layer inside a combinator is named by its path."""
    values: dict[str, Any] = {dataflow.INPUT: call.x}
    last = call.x
    for value, (path, *names) in call.options["steps"].items():
        layer, params, state = call.layer, call.params, call.state
        for name in path.split("."):
            layer, params, state = Parts(graph, Call(layer, params, state, None)).entry(name)
        last = emit(graph, layer, params, state, dataflow.gathered(values, names), call.context, path)
        values[value] = last
    return last


@onnx_emitter(adapt.adapt)
def adapted(graph: Graph, call: Call) -> Any:
    def plain(name: str, x: Any) -> Any:
        if call.options[name] is None:
            return x
        layer = as_layer(call.options[name])
        return emit(graph, layer, paths.declared(layer), None, x, {})  # as `plain_function` applies it

    (child,) = call.layer.children.values()  # pyright: ignore[reportAttributeAccessIssue]
    return plain("after", emit(graph, child, call.params, call.state, plain("before", call.x), call.context))


@onnx_emitter(layout.channels_first)
def channels_first(graph: Graph, call: Call) -> Any:
    n = call.options["spatial_dims"]

    def moved(x: Any, source: int, target: int) -> Any:
        if isinstance(x, tuple):
            return tuple(moved(v, source, target) for v in x)
        return graph.moveaxis(x, source, target)

    (child,) = call.layer.children.values()  # pyright: ignore[reportAttributeAccessIssue]
    y = emit(graph, child, call.params, call.state, moved(call.x, -1 - n, -1), call.context)
    return moved(y, -1, -1 - n) if call.options["output"] == "image" else y


@onnx_emitter(with_memory.with_memory)
def remembering(graph: Graph, call: Call) -> Any:
    run, (x, memory) = Parts(graph, call), call.x
    for name in run:
        x = run(name, (x, memory))
    return x


@onnx_emitter(transformer.transformer_encoder, transformer.transformer_decoder)
def stack(graph: Graph, call: Call) -> Any:
    run = Parts(graph, call)
    y = run("layers", call.x)
    return run("norm", y) if "norm" in run else y


@onnx_emitter(transformer.transformer)
def encoder_decoder(graph: Graph, call: Call) -> Any:
    run, (src, tgt) = Parts(graph, call), call.x
    return run("decoder", (tgt, run("encoder", src)))


def add_branch(run: Parts, x: Value, norm_first: bool, number: int, branch: Any) -> Value:
    """Adds a branch to x, with the norm before the branch or after the sum."""
    norm = f"norm{number}"
    if norm_first:
        return x + branch(run(norm, x))
    return run(norm, x + branch(x))


def feed(run: Parts, x: Value) -> Value:
    for name in ("linear1", "activation", "linear2"):
        x = run(name, x)
    return x


@onnx_emitter(transformer_layers.transformer_encoder_layer)
def encoder_layer(graph: Graph, call: Call) -> Value:
    run, first = Parts(graph, call), call.options["norm_first"]
    masks = named_masks(call.context, mask="src_mask", key_padding_mask="src_key_padding_mask")
    h = add_branch(run, call.x, first, 1, lambda h: run("self_attn", h, masks))
    return add_branch(run, h, first, 2, lambda h: feed(run, h))


@onnx_emitter(transformer_layers.transformer_decoder_layer)
def decoder_layer(graph: Graph, call: Call) -> Value:
    run, first = Parts(graph, call), call.options["norm_first"]
    own, cross = (decoder_masks(call.context, name) for name in ("tgt", "memory"))
    tgt, memory = call.x
    h = add_branch(run, tgt, first, 1, lambda h: run("self_attn", h, own))
    h = add_branch(run, h, first, 2, lambda h: run("multihead_attn", (h, memory, memory), cross))
    return add_branch(run, h, first, 3, lambda h: feed(run, h))
