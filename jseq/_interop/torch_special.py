"""Functions of torch in a traced forward that are no module of torch.nn: sums, joins, axes, shapes, entries."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jseq._combinators.graph import concatenate, select
from jseq._interop.torch_arithmetic import ARITHMETIC
from jseq._interop.torch_functions import SIZED, function_name
from jseq._interop.torch_layers import moved_axis
from jseq._interop.torch_products import PRODUCTS
from jseq._interop.torch_reductions import REDUCTIONS
from jseq._interop.torch_shapes import (
    arange,
    cast,
    indexed,
    on_device,
    options,
    padded,
    pooled_whole,
    reorder,
    repeated,
    resized,
    squeezed,
    unsqueezed,
    view,
    viewed_as,
)
from jseq._interop.torch_steps import Steps, Value, first_of
from jseq._layers.shape import take, unflatten
from jseq.errors import ConversionError


@dataclass(frozen=True)
class Special:
    """A function: how its step is added, and the layout that it needs, None for any."""

    add: Callable[[Steps, Any], Value]
    wants: int | None = None


def join(steps: Steps, node: Any) -> Value:
    """torch.cat."""
    dim = options(node, "dim").get("dim", 0)
    parts = node.args[0] if node.args else node.kwargs["tensors"]
    if not isinstance(dim, int) or not isinstance(parts, tuple | list):
        raise ConversionError(f"{function_name(node)} of {parts!r:.40} along {dim!r} is not converted; several arrays "
                              "along one axis are: torch.cat((a, b), 1).")  # fmt: skip
    values = steps.alike([steps.of(part) for part in parts])
    if len(values) == 1:
        return values[0]
    layout = values[0].layout
    return steps.apply(node.name, concatenate(moved_axis(dim, layout)), values, values[0].axes)


def entry(steps: Steps, node: Any) -> Value:
    """`x[1]` of a tuple, `x[:, -1]` or `x[:, -1, :]` of an array."""
    source, index = node.args
    if steps.knows(source) and steps.values[source].parts:
        return part(steps, node.name, steps.values[source], index)
    return indexed(steps, node)


def part(steps: Steps, name: str, value: Value, index: Any) -> Value:
    """One entry of a tuple that a module gave."""
    if value.parts == "attention":
        if index != 0:
            raise ConversionError("the weights of the attention are not returned: call it with need_weights=False.")
        return replace(value, parts="")
    if value.parts == "pieces":
        if not isinstance(index, int):
            raise ConversionError(f"the index {index!r} of pieces is not converted; a number is.")
        return replace(steps.apply(name, take(index, value.axis), [value], value.axes), parts="")
    if value.parts == "extremes":
        if index != 0:
            raise ConversionError("the indices of a maximum are not converted; its values are, x.max(1)[0].")
        return replace(value, parts="")
    if not isinstance(index, int):
        raise ConversionError(f"the index {index!r} of a tuple is not converted; a number is.")
    states = value.parts == "lstm" and index in (1, -1)
    return replace(steps.apply(name, select(index), [value], value.axes), parts="pair" if states else "")


def attribute(steps: Steps, node: Any) -> Value:
    """`x.max(1).values`; other attributes are no arrays, or refused."""
    source, name = node.args
    value = steps.values.get(source)
    if value is None or value.parts != "extremes":
        raise ConversionError(f"the attribute {name!r} of an array is not converted; shape is.")
    return part(steps, node.name, value, 0 if name == "values" else name)


def pieces(steps: Steps, node: Any) -> Value:
    """chunk, and split into pieces of one size: the axis is split in two, of which entries take the first."""
    value, chunked = steps.of(first_of(node)), function_name(node) == "chunk"
    name = "chunks" if chunked else "split_size" if "split_size" in node.kwargs else "split_size_or_sections"
    given = options(node, name, "dim")
    size, dim = given.get(name), given.get("dim", 0)
    if not isinstance(size, int) or not isinstance(dim, int):
        raise ConversionError(f"{function_name(node)}({size!r}, {dim!r}) is not converted; pieces of one size are.")
    axis = moved_axis(dim, value.layout)
    layer = unflatten(axis, (size, -1) if chunked else (-1, size))
    made = steps.apply(node.name, layer, [value], value.axes)
    return replace(made, parts="pieces", axis=axis if axis >= 0 else axis - 1)


SPECIAL = {
    **{name: Special(step) for name, step in ARITHMETIC.items()},
    **dict.fromkeys(("cat", "concat", "concatenate"), Special(join)),
    **{name: Special(step) for name, step in REDUCTIONS.items()},
    **{name: Special(step, 0) for name, step in PRODUCTS.items()},
    **dict.fromkeys(("view", "reshape"), Special(view, 0)),
    **dict.fromkeys(("view_as", "reshape_as", "expand_as"), Special(viewed_as, 0)),
    **dict.fromkeys(("expand", "repeat"), Special(repeated, 0)),
    "arange": Special(arange),
    "getattr": Special(attribute),
    **dict.fromkeys(("to", "cuda", "cpu"), Special(on_device)),
    "interpolate": Special(resized),
    **{name: Special(pooled_whole, int(name[-2])) for name in SIZED if "pool" in name},
    **dict.fromkeys(("permute", "transpose", "swapaxes", "t"), Special(reorder, 0)),
    "pad": Special(padded, 0),
    "float": Special(cast),
    "getitem": Special(entry),
    **dict.fromkeys(("chunk", "split"), Special(pieces)),
    "squeeze": Special(squeezed, 0),
    "unsqueeze": Special(unsqueezed, 0),
}


def special(node: Any) -> Special:
    """How a function is added; refuses what layers cannot express."""
    name = function_name(node)
    if name not in SPECIAL:
        raise ConversionError(f"no jseq layer is known for the function {name}. Move it into an nn.Module and register "
                              "that: @jseq.torch_converter(MyModule).")  # fmt: skip
    return SPECIAL[name]
