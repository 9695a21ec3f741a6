"""Loops over time in ONNX: Scan, whose body is a graph of its own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.value import Value

Step = Callable[[Graph, list[Value], list[Value]], tuple[Sequence[Value], Sequence[Value]]]


def scan(
    graph: Graph, step: Step, carries: Sequence[Value], xs: Sequence[Value], reverse: bool = False
) -> tuple[list[Value], list[Value]]:
    """Runs `step(body, carries, slices) -> (carries, outputs)` over axis 0 of xs: the last carries, the outputs."""
    body = Graph(graph)
    before = [Value(body, body.name("carry"), v.shape, v.dtype) for v in carries]
    slices = [Value(body, body.name("step"), v.shape[1:], v.dtype) for v in xs]
    after, outputs = step(body, list(before), list(slices))
    made = [named(body, v) for v in (*after, *outputs)]
    inner = body.onnx.helper.make_graph(body.nodes, body.name("body"), [info(v) for v in (*before, *slices)],
                                        [info(v) for v in made])  # fmt: skip
    plain = [graph.plain(v).name for v in (*carries, *xs)]
    names = graph.emit("Scan", plain, len(made), body=inner, num_scan_inputs=len(xs),
                       scan_input_directions=[int(reverse)] * len(xs),
                       scan_output_directions=[int(reverse)] * len(outputs))  # fmt: skip
    length = xs[0].shape[0]
    last = [Value(graph, n, v.shape, v.dtype) for n, v in zip(names, after, strict=False)]
    stacked = [Value(graph, n, (length, *v.shape), v.dtype) for n, v in zip(names[len(last) :], outputs, strict=True)]
    return last, stacked


def named(graph: Graph, value: Value) -> Value:
    """The value under a name of its own, as outputs need it."""
    plain = graph.plain(value)
    (name,) = graph.emit("Identity", [plain.name])
    return Value(graph, name, plain.stored, plain.dtype)


def info(value: Value) -> Any:
    """Name, dtype and shape, as a graph lists its inputs and outputs; a size such as 2 * batch is left open."""
    helper = value.graph.onnx.helper
    batch = str(value.graph.batch)
    sizes = [n if isinstance(n, int) else str(n) if str(n) == batch else None for n in value.shape]
    return helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(value.dtype), sizes)


def inside(graph: Graph, value: Any) -> Any:
    """A value of the graph around, as the body of a loop sees it."""
    if isinstance(value, tuple):
        return tuple(inside(graph, v) for v in value)
    return dataclasses.replace(value, graph=graph) if isinstance(value, Value) else value
