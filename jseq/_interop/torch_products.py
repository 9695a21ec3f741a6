"""Functions of several arrays in a traced forward: matrix products, attention, masks; and a module's own arrays."""

from typing import Any

import jax

from jseq._combinators.dataflow import INPUT
from jseq._interop.layouts import Axes
from jseq._interop.torch_arithmetic import Step, arrays_in, more_axes
from jseq._interop.torch_functions import function_name
from jseq._interop.torch_shapes import options
from jseq._interop.torch_steps import Steps, Value, first_of
from jseq._layers.array_functions import COMPARISONS, Attended, Compared, Filled, Multiplied, Summed
from jseq._layers.array_shapes import Stacked
from jseq._layers.parameter import buffer, parameter
from jseq.core import Layer, lift
from jseq.errors import ConversionError


def own_array(steps: Steps, path: str) -> Value:
    """A parameter or a buffer that a forward reads itself."""
    module = steps.module
    array = {**module._parameters, **module._buffers}.get(path)
    if array is None or path in module._non_persistent_buffers_set:
        raise ConversionError(f"its forward reads {path!r}, which is no parameter and no persistent buffer of "
                              f"{type(module).__name__} itself, and so none that its layer can hold. Read it there: "
                              "self.register_buffer(name, tensor).")  # fmt: skip
    value = steps.apply(path, layer_of_own(module, path), [Value(INPUT, Axes())], Axes(0, array.dim()), path)
    return value.as_fixed(True)


def layer_of_own(module: Any, name: str) -> Layer:
    """The layer of an array of a module's own."""
    if name in module._parameters:
        return parameter(tuple(module._parameters[name].shape))
    array = module._buffers[name]
    return buffer(tuple(array.shape), *() if array.is_floating_point() else (dtype_of(array, name),))


def dtype_of(array: Any, path: str) -> str:
    """The dtype that JAX has for a buffer of whole numbers: 32 bits, where 64 are not switched on."""
    dtype = str(array.dtype).removeprefix("torch.")
    if dtype != "int64" or jax.config.jax_enable_x64:  # pyright: ignore
        return dtype
    if array.numel() and max(-int(array.min()) - 1, int(array.max())) >= 2**31:
        raise ConversionError(f"the buffer {path!r} has numbers of more than 32 bits. Switch 64 on before: "
                              'jax.config.update("jax_enable_x64", True).')  # fmt: skip
    return "int32"


def multiplied(steps: Steps, node: Any) -> Value:
    """torch.matmul, bmm, mm and `a @ b`."""
    operands = [*node.args, *(node.kwargs[name] for name in ("input", "other", "mat2") if name in node.kwargs)]
    values = arrays_in(steps, operands)
    axes = Axes() if any(value.rank == 1 for value in values) else more_axes(values)
    return steps.apply(node.name, lift(Multiplied()), values, axes)


def summed(steps: Steps, node: Any) -> Value:
    """torch.einsum."""
    equation, *operands = node.args
    operands = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    values, out = arrays_in(steps, operands), str(equation).replace(" ", "").partition("->")
    rank = len(out[2]) if out[1] and "." not in out[2] else None
    return steps.apply(node.name, lift(Summed(equation)), values, Axes(0, rank))


def stacked(steps: Steps, node: Any) -> Value:
    """torch.stack."""
    dim = options(node, "dim").get("dim", 0)
    values = arrays_in(steps, node.args[0] if node.args else node.kwargs["tensors"])
    return steps.apply(node.name, lift(Stacked(dim)), values, values[0].axes.plus(1))


def attended(steps: Steps, node: Any) -> Value:
    """torch.nn.functional.scaled_dot_product_attention."""
    names = ("key", "value", "attn_mask", "dropout_p", "is_causal")
    given: dict[str, Any] = {"attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None}
    given |= {"enable_gqa": False} | dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    if given["dropout_p"]:
        raise ConversionError("attention with dropout_p is not converted. Leave it at 0, or use nn.MultiheadAttention.")
    query = first_of(node) if node.args else given["query"]
    arrays = [query, given["key"], given["value"], *([] if given["attn_mask"] is None else [given["attn_mask"]])]
    values = arrays_in(steps, arrays)
    function = Attended(given["is_causal"], given["scale"], given["enable_gqa"])
    return steps.apply(node.name, lift(function), values, values[0].axes)


def compared(steps: Steps, node: Any) -> Value:
    """An array beside a number: `x == 0`."""
    name, value = function_name(node), options(node, "other").get("other")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConversionError(f"{name} of an array and {value!r:.40} is not converted; of an array and a number it is.")
    array = steps.of(first_of(node))
    return steps.apply(node.name, lift(Compared(name, value)), [array], array.axes)


def filled(steps: Steps, node: Any) -> Value:
    """Tensor.masked_fill with a number."""
    given = options(node, "mask", "value")
    if not isinstance(given["value"], int | float):
        raise ConversionError(f"masked_fill with {given['value']!r:.40} is not converted; with a number it is.")
    values = arrays_in(steps, (first_of(node), given["mask"]))
    return steps.apply(node.name, lift(Filled(given["value"])), values, more_axes(values))


PRODUCTS: dict[str, Step] = {
    **dict.fromkeys(("matmul", "bmm", "mm"), multiplied),
    "einsum": summed,
    "stack": stacked,
    "scaled_dot_product_attention": attended,
    **dict.fromkeys(COMPARISONS, compared),
    "masked_fill": filled,
}
