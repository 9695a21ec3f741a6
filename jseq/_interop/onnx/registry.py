"""Which layer is written how: the table of emitters, and the walk through a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax

from jseq._core import calls
from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.value import Value
from jseq._interop.targets import check_targets, registered
from jseq.core import Layer
from jseq.errors import CallError, LayerError

F = TypeVar("F", bound=Callable[..., Any])
EMITTERS: dict[Any, Callable[..., Any]] = {}  # by constructor, or by lifted function


@dataclass(frozen=True)
class Call:
    """A layer that is to be written: what its `apply` would be given in evaluation, x and context as values.

    Attributes:
        layer: the layer; `options` are its constructor's arguments.
        params, state: its arrays.
        x: a value, or a tuple of them.
        context: values by name.
    """

    layer: Layer
    params: Any
    state: Any
    x: Any
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> Mapping[str, Any]:
        return self.layer.arguments

    @property
    def y(self) -> Any:
        """The shapes and dtypes that the layer gives; the batch axis is a symbol."""
        x, context = jax.tree.map(struct, (self.x, dict(self.context)), is_leaf=lambda v: isinstance(v, Value))

        def apply(x: Any, context: Any) -> Any:
            return calls.run_apply(self.layer, self.params, self.state, x, None, False, context)[0]

        return jax.eval_shape(apply, x, context)


def struct(value: Any) -> Any:
    """Shape and dtype of a value."""
    return jax.ShapeDtypeStruct(value.shape, value.dtype)


def onnx_emitter(*targets: Any) -> Callable[[F], F]:
    """Registers how a layer or a plain function is written to ONNX.

    The decorated function takes `(graph, call)` and returns the value of y (or a tuple of them). `call.params`,
    `call.state`, `call.x`, `call.context` are what `apply` is given, `call.options` the constructor's arguments,
    `call.y` the shape that the layer gives. `graph.op("Conv", x, w, shape=..., ...)` adds a node,
    `graph.map("Mul", x, w)` an elementwise one (as do `+ - * /`), and arrays may stand where values may.

    Args:
        targets: layer constructors of your own, or functions of one array that stand in a model as they are.

    Raises:
        CallError: a target is neither.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> def double(x):
        ...     return x + x
        >>> @jseq.onnx_emitter(double)
        ... def write_double(graph, call):
        ...     return call.x + call.x
    """
    check_targets(targets, "onnx_emitter", CallError)

    def register(function: F) -> F:
        EMITTERS.update(dict.fromkeys(targets, function))
        return function

    return register


def emit(
    graph: Graph, layer: Layer, params: Any, state: Any, x: Any, context: Mapping[str, Any], name: str = ""
) -> Any:
    """Writes one layer, under its name in the path."""
    outer = graph.path
    graph.path = (*outer, name) if name else outer
    try:
        known = {key: value for key, value in context.items() if key in layer.reads}
        return emitter_of(layer)(graph, Call(layer, params, state, x, known))
    except LayerError as error:
        error.name(layer.brief)
        if name:
            error.enter(name)
        raise
    finally:
        graph.path = outer


def emitter_of(layer: Layer) -> Callable[..., Any]:
    """The emitter of a layer; an error that says how to register one."""
    return registered(EMITTERS, layer, "onnx_emitter", "no ONNX form is known of",
                      "before a function (graph, call) that returns y.", CallError)  # fmt: skip
