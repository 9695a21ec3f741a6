"""`to_onnx`: a model and its params as an ONNX model."""

import importlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import export

from jseq._interop.extras import need
from jseq._interop.onnx.graph import OPSET, Graph
from jseq._interop.onnx.loop import info, named
from jseq._interop.onnx.registry import EMITTERS, emit
from jseq._interop.onnx.value import Value
from jseq.core import Layer, with_state
from jseq.errors import CallError, describe

# What registers emitters, imported by the first `to_onnx`: `import jseq` stays quick.
FAMILIES = ("adaptive", "attention", "combinators", "convolution", "linear", "normalisation", "pooling", "recurrent",
            "shape", "table", "wrappers")  # fmt: skip
IR_VERSION = 9  # of onnx 1.15, the first with opset 20


def load_families() -> None:
    """Registers the emitters of jseq's own layers; those of the user's stay."""
    registered = dict(EMITTERS)
    for family in FAMILIES:
        importlib.import_module(f"jseq._interop.onnx.{family}")
    EMITTERS.update(registered)


def to_onnx(model: Layer, params: Any, state: Any = None, x: Any = None, *, context: Mapping[str, Any] | None = None,
            batch: str | None = "batch") -> Any:  # fmt: skip
    """Writes a model to ONNX, as it computes in evaluation, with its params as constants.

    `onnx.save(jseq.to_onnx(...), "model.onnx")` writes the file. Needs the extra: `pip install 'jseq[onnx]'`.

    Args:
        model: the model.
        params, state: its trees; without state for a model that keeps none.
        x: an example of the input, or its `jax.ShapeDtypeStruct` (or a tuple of them): shapes and dtypes are read.
        context: examples of the side inputs, by name. They become inputs of the graph under their names.
        batch: the name of axis 0 of the inputs, which stays open; None for a graph of fixed shapes. Axis 0 is the
            batch in every input where it is as long as in the first: give an example whose batch is no other size.

    Returns:
        An `onnx.ModelProto` of opset 20, checked by `onnx.checker`: inputs x (`x_0`, `x_1` of a tuple) and those of
        context, outputs y (`y_0`, `y_1`). Arrays have jseq's layout, channels last; a model in `channels_first`
        needs no transposes.

    Raises:
        CallError: no x; a layer or a plain function of which no ONNX form is known (`onnx_emitter` registers one).
        OptionError: a layer that has no ONNX form.
        ImportError: onnx is not installed.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 2))
        >>> params = model.init(jax.random.key(0))
        >>> written = jseq.to_onnx(model, params, x=jnp.ones((5, 4)))  # doctest: +SKIP
        >>> [node.op_type for node in written.graph.node]  # doctest: +SKIP
        ['Gemm', 'Relu', 'Gemm']
    """
    onnx = need("onnx", "onnx")
    if not isinstance(model, Layer):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise CallError(f"to_onnx takes (model, params, state, x), got {describe(model)} as the model.")
    if x is None:
        raise CallError("to_onnx reads shapes from an example of x. The call that works: to_onnx(model, params, x=x).")
    given = {"x": jax.tree.map(as_struct, x), **({} if context is None else jax.tree.map(as_struct, dict(context)))}
    sides = {name: v for name, v in given.items() if name != "x"}

    def apply(x: Any, context: Any) -> Any:
        return with_state(model).apply(params, state, x, key=jax.random.key(0), context=context)[0]

    shapes = jax.eval_shape(apply, given["x"], sides or None)  # refuses what apply would refuse
    load_families()
    graph = Graph()
    values = inputs(graph, given, batch)
    y = emit(graph, model, params, state, values["x"], {name: values[name] for name in sides})
    made = outputs(graph, y, shapes)
    first = [info(v) for part in given for v in jax.tree.leaves(values[part])]
    last = [info(v) for v in made]
    proto = onnx.helper.make_graph(graph.nodes, "jseq", first, last, list(graph.constants.values()))
    opset = onnx.helper.make_opsetid("", OPSET)
    written = onnx.helper.make_model(proto, producer_name="jseq", opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(written, full_check=True)
    return written


def as_struct(x: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an example."""
    return jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype))


def inputs(graph: Graph, given: Any, batch: str | None) -> Any:
    """The inputs of the graph as values, in the form they were given in."""
    first = next((leaf.shape[:1] for leaf in jax.tree.leaves(given["x"])), ())
    if batch is not None and first:
        (graph.batch,) = export.symbolic_shape(batch)

    def value(path: Any, leaf: Any) -> Value:
        name = jax.tree_util.keystr(path, simple=True, separator="_")
        open_batch = graph.batch is not None and leaf.shape[:1] == first
        graph.names[name] = 1
        if open_batch and not graph.batched:
            graph.batched = name
        return Value(graph, name, (graph.batch, *leaf.shape[1:]) if open_batch else leaf.shape, np.dtype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(value, given)


def outputs(graph: Graph, y: Any, shapes: Any) -> list[Value]:
    """Gives the outputs their names, y or y_0, y_1, ...; a node gives its own output the name where it can."""
    made: list[Value] = []
    produced = {name for node in graph.nodes for name in node.output}
    for path, value in jax.tree_util.tree_leaves_with_path({"y": y}):
        name = graph.name(jax.tree_util.keystr(path, simple=True, separator="_"))
        plain = graph.plain(value)
        produced |= set(graph.nodes[-1].output) if graph.nodes else set()
        if plain.name not in produced:  # an input, a constant, or an output twice
            plain = named(graph, plain)
        rename(graph, plain.name, name)
        produced.discard(plain.name)
        made.append(Value(graph, name, plain.stored, plain.dtype))
    wanted = [(len(leaf.shape), np.dtype(leaf.dtype)) for leaf in jax.tree.leaves(shapes)]
    assert [(v.ndim, v.dtype) for v in made] == wanted, (made, wanted)
    return made


def rename(graph: Graph, old: str, new: str) -> None:
    """Gives a tensor another name."""
    for node in graph.nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
