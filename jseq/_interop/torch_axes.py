"""The axes of what modules give, and whether axis 0 of a step in a traced forward is axis 0 of another."""

from typing import Any

from jseq._interop.layouts import Axes
from jseq._interop.torch_functions import MODULES, function_name
from jseq._interop.torch_registry import CUSTOM, Converter, class_of, converter_of, is_chain

# Modules whose output is a tuple, or has another axis 0 than their input.
OTHER_FIRST = ("RNN", "GRU", "LSTM", "LSTMCell", "MultiheadAttention", "EmbeddingBag", "CosineSimilarity",
               "PairwiseDistance", "GLU")  # fmt: skip


def axes_after(module: Any, converter: Converter, axes: Axes) -> Axes:
    """The axes of a module's output, for those that it takes."""
    layout = axes.layout if converter.gives is None else converter.gives
    name, rank = class_of(module).__name__, axes.rank
    if layout:
        return Axes(layout)
    if class_of(module) in CUSTOM:
        return axes if converter.wants is None and converter.gives is None else Axes()
    if name == "Flatten":
        return Axes(0, flattened(module.start_dim, module.end_dim, rank))
    if name == "Unflatten":
        return axes.plus(len(module.unflattened_size) - 1)
    if name == "Embedding":
        return axes.plus(1)
    if name in ("RNN", "GRU", "LSTM"):
        return Axes(0, 3)
    if name in ("EmbeddingBag", "RNNCell", "GRUCell", "LSTMCell"):
        return Axes(0, 2)
    if name.startswith("Transformer") or name == "MultiheadAttention":
        return axes.plus(0)  # with an axis of time, which (N, C) lacks
    return Axes() if name in ("CosineSimilarity", "PairwiseDistance") else axes


def flattened(start: int, end: int, rank: int | None) -> int | None:
    """The number of axes after a flattening."""
    if rank is None:
        return start + 1 if start >= 0 and end == -1 else None
    return rank - (end % rank - start % rank)


def same_first(module: Any, one: Any, other: Any) -> bool:
    """Whether axis 0 of two nodes is surely one axis."""
    return origin(module, one) is origin(module, other)


def origin(module: Any, node: Any) -> Any:
    """The node whose axis 0 this one has kept."""
    while node.all_input_nodes and keeps(module, node):
        node = node.all_input_nodes[0]
    return node


def keeps(module: Any, node: Any) -> bool:
    """Whether a step surely keeps axis 0 of the one array that it reads."""
    if len(node.all_input_nodes) != 1:
        return False
    if node.op == "call_module":
        return keeps_first(module.get_submodule(node.target))
    if node.op not in ("call_function", "call_method"):
        return False
    name, given = function_name(node), {"start_dim": 0} | dict(node.kwargs)
    if name == "flatten":
        return (node.args[1] if len(node.args) > 1 else given["start_dim"]) > 0
    return name in MODULES and name not in ("unflatten", "glu")


def keeps_first(module: Any) -> bool:
    """Whether a module surely keeps axis 0 of its input."""
    if is_chain(module):
        return all(keeps_first(child) for child in module)
    name = class_of(module).__name__
    if converter_of(module) is None or class_of(module) in CUSTOM or name in OTHER_FIRST:
        return False
    first = {"Flatten": "start_dim", "Unflatten": "dim"}.get(name)
    return first is None or getattr(module, first) > 0
