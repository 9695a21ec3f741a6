"""Sums, products and functions of single elements in a traced forward, of arrays and of numbers."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jseq._combinators.graph import add, multiply
from jseq._interop.layouts import Axes
from jseq._interop.torch_functions import function_name
from jseq._interop.torch_sizes import Sizes, is_shape
from jseq._interop.torch_steps import Steps, Value, first_of
from jseq._layers.arithmetic import arithmetic
from jseq._layers.array_functions import Clamped, Paired, Scaled
from jseq._layers.array_shapes import Aligned
from jseq._layers.shape import unflatten
from jseq.core import Layer, lift
from jseq.errors import ConversionError

Step = Callable[[Steps, Any], Value]
# The operations by torch's names, in place and not; of two arrays: the layer, and what is made of the second first.
NAMES = {"add": "add", "sub": "subtract", "subtract": "subtract", "mul": "multiply", "multiply": "multiply",
         "div": "divide", "divide": "divide", "truediv": "divide", "pow": "power"}  # fmt: skip
OF_ARRAYS: dict[str, tuple[Layer, Any]] = {
    "add": (add(broadcast=True), None),
    "subtract": (add(broadcast=True), jnp.negative),
    "multiply": (multiply(broadcast=True), None),
    "divide": (multiply(broadcast=True), jnp.reciprocal),
}
ELEMENTS = "abs cos exp expm1 log log1p reciprocal sign sin sqrt square"
OF_ELEMENTS = {"neg": jnp.negative, "negative": jnp.negative} | {name: getattr(jnp, name) for name in ELEMENTS.split()}


def combined(steps: Steps, node: Any) -> Value:
    """An array and a number, or two arrays."""
    name = function_name(node)
    name = name.removesuffix("_")
    operation = NAMES[name] if name in NAMES else NAMES[name.removeprefix("i")]
    operands = [*node.args, *(node.kwargs[key] for key in ("input", "other", "exponent") if key in node.kwargs)]
    others = {key for key, value in node.kwargs.items() if key not in ("input", "other", "exponent") and value != 1}
    known = [steps.knows(value) for value in operands]
    if len(operands) == 2 and not others and any(known) and any(is_shape(value) for value in operands):
        return by_size(steps, node.name, operation, operands, known[1])
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in operands]
    if len(operands) != 2 or others or not any(known):
        raise ConversionError(f"only arrays and numbers are combined, got {(*node.args, *sorted(others))}.")
    if all(known) and operation in OF_ARRAYS:
        return of_arrays(steps, node.name, operation, operands)
    if all(known):
        return paired(steps, node.name, operation, operands)
    if not any(numbers):
        raise ConversionError(f"only arrays and numbers are combined, got {tuple(operands)}. Anything else is a layer: "
                              "@jseq.torch_converter on a module that applies it.")  # fmt: skip
    value, reverse = steps.of(operands[known.index(True)]), known[1]
    layer = arithmetic(operation, operands[numbers.index(True)], reverse)
    return steps.apply(node.name, layer, [value], value.axes)


def by_size(steps: Steps, name: str, operation: str, operands: list[Any], reverse: bool) -> Value:
    """An array and a size of an array."""
    value, read = steps.of(operands[reverse]), Sizes(steps)
    function = Scaled(operation, read.of(operands[not reverse]), reverse)
    made = steps.apply(name, lift(function), [value, *read.arrays], value.axes)
    return made.as_fixed(value.fixed)


def of_arrays(steps: Steps, name: str, operation: str, operands: list[Any]) -> Value:
    """Two arrays: a difference is a sum with the negative, a quotient a product with the reciprocal."""
    layer, change = OF_ARRAYS[operation]
    a, b = steps.of(operands[0]), steps.of(operands[1])
    if change is not None:
        b = steps.apply(f"{name}_{change.__name__}", lift(change), [b], b.axes)
    counts = (a.axes.number, b.axes.number)
    if counts[0] != counts[1] and (0 in counts or (None in counts and (a.fixed or b.fixed))):
        pair = [steps.in_layout(value, 0) for value in (a, b)]
        return steps.apply(name, layer, [steps.apply(f"{name}_axes", lift(Aligned()), pair, Axes())], Axes())
    a, b = steps.alike(with_axes(steps, name, [a, b]))
    number = next((value.axes.number for value in (a, b) if value.axes.number is not None), None)
    axes = a.axes if a.axes == b.axes else Axes(a.layout, None if a.layout else number)
    return steps.apply(name, layer, [a, b], axes)


def paired(steps: Steps, name: str, operation: str, operands: list[Any]) -> Value:
    """Two arrays that no layer combines, in torch's order of axes."""
    values = arrays_in(steps, operands)
    return steps.apply(name, lift(Paired(operation)), values, more_axes(values))


def arrays_in(steps: Steps, arrays: Any) -> list[Value]:
    """The arrays of a step, in torch's order of axes."""
    return [steps.in_layout(steps.of(array), 0) for array in arrays]


def more_axes(values: list[Value]) -> Axes:
    """The axes of arrays that are repeated to one shape."""
    ranks = [value.rank for value in values if value.rank is not None]
    return Axes(0, max(ranks) if len(ranks) == len(values) else None)


def with_axes(steps: Steps, name: str, values: list[Value]) -> list[Value]:
    """Two arrays; axes of size 1 stand in front of the one that has fewer, as torch takes them."""
    few, many = sorted(value.axes.number or 0 for value in values)
    if few == many or not few:
        return values
    layer = unflatten(0, (*[1] * (many - few), -1))
    return [steps.apply(f"{name}_axes", layer, [steps.in_layout(value, 0)], Axes(0, many))
            if value.axes.number == few else value for value in values]  # fmt: skip


def elementwise(steps: Steps, node: Any) -> Value:
    """A function of single elements."""
    if node.args[1:] or node.kwargs.keys() - {"input"}:
        raise ConversionError(f"{function_name(node)} is converted without further arguments, got {node.args[1:]} "
                              f"{dict(node.kwargs)}.")  # fmt: skip
    value = steps.of(first_of(node))
    function = OF_ELEMENTS[function_name(node)]
    return steps.apply(node.name, lift(function), [value], value.axes)


def extreme_of_two(steps: Steps, node: Any) -> Value:
    """torch.maximum and minimum, and torch.max and min of two arrays."""
    operands = [*node.args, *node.kwargs.values()]
    operation = {"max": "maximum", "min": "minimum"}.get(function_name(node), function_name(node))
    return paired(steps, node.name, operation, operands)


def clamped(steps: Steps, node: Any) -> Value:
    """torch.clamp between numbers."""
    given = dict(zip(("min", "max"), node.args[1:], strict=False)) | dict(node.kwargs)
    low, high, value = given.get("min"), given.get("max"), steps.of(first_of(node))
    if not all(bound is None or isinstance(bound, int | float) for bound in (low, high)):
        raise ConversionError("clamp is converted between numbers, not between arrays.")
    return steps.apply(node.name, lift(Clamped(low, high)), [value], value.axes)


ARITHMETIC: dict[str, Step] = {
    **dict.fromkeys((*NAMES, *(f"i{name}" for name in NAMES), *(f"{name}_" for name in NAMES)), combined),
    **dict.fromkeys(OF_ELEMENTS, elementwise),
    **dict.fromkeys(("maximum", "minimum"), extreme_of_two),
    **dict.fromkeys(("clamp", "clip", "clamp_", "clip_"), clamped),
}
