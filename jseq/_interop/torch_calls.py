"""The call of a module in a traced forward: which arrays it is given, in the order that its layer takes them."""

import inspect
from collections.abc import Callable
from typing import Any

from jseq._interop.torch_registry import CUSTOM, class_of, converter_of, is_chain
from jseq.errors import ConversionError

IGNORED = ("need_weights", "average_attn_weights")
ADVICE = {
    "hx": "Its layer begins with zeros: call it without, or step by step as a cell.",
    "offsets": "Give it bags of one length, an array (N, L) of ids.",
}
CELLS = ("RNNCell", "GRUCell", "LSTMCell")


def arrays_of(node: Any, child: Any, knows: Callable[[Any], bool]) -> list[Any]:
    """The arrays that a module is called with, by the signature of its forward; refuses what else says something."""
    signature = inspect.signature(child.forward)
    try:
        given = signature.bind(*node.args, **node.kwargs).arguments
    except TypeError as error:
        raise ConversionError(f"{node.target} cannot be called so: {error}.") from error
    arrays: list[Any] = []
    for name, value in given.items():
        parameter = signature.parameters[name]
        values = value if parameter.kind is parameter.VAR_POSITIONAL else (value,)
        for one in values:
            states = name == "hx" and isinstance(one, tuple) and all(knows(part) for part in one)  # pyright: ignore
            if (knows(one) or states) and takes_array(child, parameter):
                arrays.append(one)
            elif not says_nothing(child, parameter, one):
                raise refused(node, child, name, one)
    return arrays


def takes_array(child: Any, parameter: inspect.Parameter) -> bool:
    """Whether the layer of a module has an input for this argument: all but its options."""
    own = class_of(child)
    if own in CUSTOM or (own.__name__ in CELLS and parameter.name == "hx"):
        return parameter.kind is not parameter.VAR_KEYWORD
    return parameter.default is parameter.empty and parameter.kind in (
        parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY,
    )  # fmt: skip


def says_nothing(child: Any, parameter: inspect.Parameter, value: Any) -> bool:
    """Whether an argument that is no array leaves the module as its layer is."""
    default, torchs = parameter.default, class_of(child) not in CUSTOM and converter_of(child) is not None
    if torchs and (value is None or value is False):
        return default is not parameter.empty  # True only for the weights of attention
    return (torchs and parameter.name in IGNORED) or (type(value) is type(default) and bool(value == default))


def refused(node: Any, child: Any, name: str, value: Any) -> ConversionError:
    """The error for an argument that no layer takes."""
    if converter_of(child) is None:
        return ConversionError(f"argument {name}={value!r:.40} of {node.target} is not converted: arguments with a "
                               f"default stay at it. Set it once, in {type(child).__name__}.__init__.")  # fmt: skip
    advice = ADVICE.get(name, "Masks and the like are given in context.")
    return ConversionError(f"argument {name}={value!r:.40} of {node.target} is not converted. {advice}")


def gives_tuple(module: Any) -> bool:
    """Whether a module gives several arrays, other than one of torch's own that always does."""
    if converter_of(module) is not None:
        return bool(getattr(module, "return_indices", False))
    if is_chain(module):
        return len(module) > 0 and gives_tuple(module[-1])
    from jseq._interop.torch_nodes import nodes_of

    return isinstance(nodes_of(module)[-1].args[0], tuple | list)
