"""The steps of a traced forward as those of a graph: which value each step reads, and in which order of axes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jseq._combinators.dataflow import INPUT
from jseq._combinators.graph import select
from jseq._interop.layouts import Axes, to_first, to_last
from jseq._interop.torch_calls import arrays_of, gives_tuple
from jseq._interop.torch_functions import as_module
from jseq._interop.torch_registry import class_of, converter_of
from jseq._layers.array_shapes import Returned
from jseq._layers.linear import identity
from jseq.core import Layer, lift
from jseq.errors import ConversionError

PARTS = {"RNN": "rnn", "GRU": "rnn", "LSTM": "lstm", "LSTMCell": "pair", "MultiheadAttention": "attention"}


@dataclass(frozen=True)
class Value:
    """A value of the graph: its name, and what is known of its axes.

    `parts` says what a tuple holds: "rnn" (y, h), "lstm" (y, (h, c)), "pair" arrays side by side, "attention" the array
    that torch returns beside its weights, "pieces" an array whose `axis` counts its pieces, "extremes" the one that
    torch returns beside its indices; "" is an array. `fixed` says that the numbers do not depend on the input: a
    parameter of the module's own, and what is made of it.
    """

    name: str
    axes: Axes
    parts: str = ""
    axis: int = 0
    fixed: bool = False

    @property
    def layout(self) -> int:
        return self.axes.layout

    @property
    def rank(self) -> int | None:
        return self.axes.rank

    def as_fixed(self, fixed: bool) -> "Value":
        """The value, which depends on the input or not."""
        return replace(self, fixed=fixed)


class Steps:
    """The graph as it grows, node by node.

    Attributes:
        layers: by the path of a module, or by the name of a function's node.
        steps: as `jseq.graph` takes them.
        values: what each node has become.
    """

    def __init__(self, module: Any, path: str, convert: Callable[..., tuple[Layer, Axes]]):
        self.module, self.path, self.convert = module, path, convert
        self.names = module._modules.keys() | module._parameters.keys() | module._buffers.keys()
        self.layers: dict[str, Layer] = {}
        self.steps: dict[str, tuple[str, ...]] = {}
        self.values: dict[Any, Value] = {}
        self.result: Value | None = None

    def begin(self, inputs: list[Any], axes: Axes) -> None:
        """Names the inputs: x itself, or the entries of x."""
        for i, node in enumerate(inputs):
            whole = Value(INPUT, axes)
            self.values[node] = whole if len(inputs) == 1 else self.apply(node.name, select(i), [whole], axes)

    def of(self, node: Any) -> Value:
        """The value of a node that a step reads."""
        if not self.knows(node):
            raise ConversionError(f"it reads {node!r:.60}, which is no array of the graph.")
        if self.values[node].parts == "pieces":
            raise ConversionError(f"the pieces of {node} are taken one by one: a, b = x.chunk(2, 1).")
        if self.values[node].parts == "extremes":
            raise ConversionError(f"of {node} the values alone are converted: x.max(1).values, or x.amax(1).")
        return self.values[node]

    def knows(self, node: Any) -> bool:
        """Whether this argument is a node that has become a value."""
        return hasattr(node, "op") and node in self.values

    def apply(self, name: str, layer: Layer, inputs: list[Value], axes: Axes, path: str | None = None) -> Value:
        """Adds a step: a layer of its own, or the module at a path."""
        address = path or self.free(name, self.layers.keys() | self.names)
        if self.layers.get(address, layer) != layer:
            raise ConversionError(f"{address} is used on inputs with other axes than before: "
                                  f"{self.layers[address].brief} and {layer.brief}.")  # fmt: skip
        self.layers[address] = layer
        value = self.free(name, self.steps.keys() | {INPUT})
        self.steps[value] = (address, *(v.name for v in inputs))
        return Value(value, axes, fixed=all(v.fixed for v in inputs))

    def free(self, name: str, taken: Any) -> str:
        """A name that is not taken."""
        while name in taken:
            name += "_"
        return name

    def in_layout(self, value: Value, want: int) -> Value:
        """The value with its axes in this order; a step more if they are not."""
        if value.layout == want:
            return value
        move = to_last(want) if want else to_first(value.layout)
        return self.apply(f"{value.name}_moved", move, [value], value.axes.moved(want))

    def together(self, node: Any, arrays: tuple[Any, ...]) -> Value:
        """Arrays as one value: a tuple."""
        values = [self.in_layout(self.of(array), 0) for array in arrays]
        return replace(self.apply(f"{node.name}_given", identity(), values, values[0].axes), parts="pair")

    def alike(self, values: list[Value]) -> list[Value]:
        """Values in one layout: their own, that of an image for the fixed ones beside it, or torch's if they differ."""
        layouts = {value.layout for value in values if not value.fixed} or {value.layout for value in values}
        want = layouts.pop() if len(layouts) == 1 else 0
        fits = all(value.layout == want or value.axes.number == want + 2 for value in values)
        return [self.in_layout(value, want if fits else 0) for value in values]

    def call_module(self, node: Any, child: Any, path: str | None) -> Value:
        """A step that calls a module: one of the model's, or one that stands for a function."""
        arrays = arrays_of(node, child, self.knows) if path else [first_of(node)]
        inputs = [self.together(node, array) if isinstance(array, tuple) else self.of(array) for array in arrays]
        converter = converter_of(child)
        if len(inputs) > 1:
            wanted = (converter and converter.wanted(child)) or 0
        else:
            wanted = converter.takes(child, inputs[0].axes).layout if converter else inputs[0].layout
        inputs = [self.in_layout(value, wanted) for value in inputs]
        axes = inputs[0].axes if converter or len({value.axes for value in inputs}) == 1 else Axes(wanted)
        layer, axes = self.convert(child, axes, f"{self.path}.{path}" if self.path else path or "")
        value = self.apply(node.name, layer, inputs, axes, path)
        return replace(value, parts=PARTS.get(class_of(child).__name__, "pair" if gives_tuple(child) else ""))

    def finish(self, node: Any) -> None:
        """The output: the last step, or one more that gathers it."""
        if isinstance(node.args[0], tuple | list):
            parts = node.args[0]
            if None in parts and (self.path or not any(part is not None for part in parts)):
                raise ConversionError("it gives None beside its arrays, which only a whole model may.")
            values = self.alike([self.of(part) for part in parts if part is not None])
            given = tuple(part is not None for part in parts)
            gathered = identity() if all(given) and len(given) > 1 else lift(Returned(given))
            self.result = self.apply("output", gathered, values, Axes(values[0].layout))
            return
        value = self.of(node.args[0])
        last = next(reversed(self.steps), None)
        self.result = value if value.name == last else self.apply("output", identity(), [value], value.axes)


def first_of(node: Any) -> Any:
    """The array that a function is called with."""
    return node.args[0] if node.args else node.kwargs.get("input")


def built_module(steps: Steps, node: Any) -> Any:
    """The module that a function's node stands for; None if none does."""
    value = steps.values.get(first_of(node))
    number = value.axes.number if value else None
    return as_module(node, max((number or 0) - 2, 0))
