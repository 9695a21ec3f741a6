"""What a trace of torch.fx can do without: assertions about shapes, and states of zeros."""

import ast
import inspect
import itertools
import linecache
from types import FrameType
from typing import Any

from jseq._interop.extras import need
from jseq._interop.torch_functions import function_name, is_call
from jseq._interop.torch_registry import class_of
from jseq._interop.torch_sizes import is_shape
from jseq.errors import ConversionError

RECURRENT = ("RNN", "GRU", "LSTM")
MOVES = ("to", "cuda", "cpu", "requires_grad_")  # what code does to zeros before they are states


def asserted(tracer: Any, value: Any) -> bool:
    """The truth of a traced value, which is none, but for `assert t <= n`: layers check their shapes themselves."""
    node = value.node
    shapes = is_call(node) and all(isinstance(one, int | float | tuple) or is_shape(one) for one in node.args)
    frame = inspect.currentframe()
    asks = frame and frame.f_back and frame.f_back.f_back  # of the code that asks Proxy.__bool__, which asks this
    if shapes and asks is not None and is_assertion(asks):
        return True
    raise ConversionError(f"the truth of {node.name} is asked for, and it is known only when numbers come.")


def is_assertion(frame: FrameType) -> bool:
    """Whether the truth that code asks for at this moment is what an `assert` says, or a part of it that must hold."""
    places = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals)))
    except SyntaxError:
        return False
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    held: list[Any] = [*asserts, *(node.test for node in asserts)]  # pytest says the place of the whole statement
    while held:
        node = held.pop()
        if (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) == places:
            return True
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            held += node.values
    return False


def without_zero_states(module: Any, graph: Any) -> None:
    """Leaves out states of zeros, with which recurrence begins by itself."""
    for node in graph.nodes:
        if node.op != "call_module" or class_of(module.get_submodule(node.target)).__name__ not in RECURRENT:
            continue
        states = node.args[1] if len(node.args) == 2 else node.kwargs.get("hx")
        if states is not None and all(map(is_zeros, states if isinstance(states, tuple | list) else (states,))):
            node.args = node.args[:1]
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != "hx"}


def is_zeros(node: Any) -> bool:
    """Whether a node is made of zeros."""
    if not is_call(node):
        return False
    name = function_name(node)
    return name in ("zeros", "zeros_like", "new_zeros") or (name in MOVES and is_zeros(node.args[0]))


def is_device(value: Any) -> bool:
    """Whether an argument of `x.to(...)` is a device, and leaves the numbers as they are."""
    if is_call(value):
        return function_name(value) == "getattr" and value.args[1] == "device"
    return not hasattr(value, "op") and isinstance(value, str | need("torch", "torch").device)
