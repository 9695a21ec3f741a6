"""Functions of torch in a traced forward that are no module of torch.nn: sums, joins, axes, shapes, entries."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jseq._combinators.graph import concatenate, select
from jseq._interop.layouts import Axes
from jseq._interop.torch_arithmetic import ARITHMETIC
from jseq._interop.torch_axes import same_first
from jseq._interop.torch_functions import function_name
from jseq._interop.torch_layers import moved_axis
from jseq._interop.torch_steps import Steps, Value, first_of
from jseq._layers.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from jseq._layers.global_pooling import global_avg_pool1d, global_avg_pool2d, global_avg_pool3d
from jseq._layers.shape import flatten, permute, reshape, take, unflatten
from jseq.core import lift
from jseq.errors import ConversionError

MEANS = {1: global_avg_pool1d, 2: global_avg_pool2d, 3: global_avg_pool3d}
MEANS_KEPT = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


@dataclass(frozen=True)
class Special:
    """A function: how its step is added, and the layout that it needs, None for any."""

    add: Callable[[Steps, Any], Value]
    wants: int | None = None


def options(node: Any, *names: str) -> dict[str, Any]:
    """The arguments of a function beside its array, by name; refuses any other."""
    given = dict(zip(names, node.args[1:], strict=False))
    given |= {name: value for name, value in node.kwargs.items() if name not in ("input", "tensors")}
    if given.keys() - set(names) or len(node.args) > len(names) + 1:
        others = sorted(given.keys() - set(names)) or node.args[len(names) + 1 :]
        raise ConversionError(f"arguments {others} of {function_name(node)} are not converted; {names} are.")
    return given


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


def mean(steps: Steps, node: Any) -> Value:
    """The mean over all spatial axes: global pooling."""
    value, given = steps.of(first_of(node)), options(node, "dim", "keepdim")
    dims, n = given.get("dim"), value.layout
    dims = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if not n or sorted(dim % (n + 2) for dim in dims) != list(range(2, n + 2)):
        raise ConversionError(f"the mean over {dims or 'all axes'} is no pooling over all spatial axes of an image.")
    if given.get("keepdim", False):
        return steps.apply(node.name, MEANS_KEPT[n](1), [value], value.axes)
    return steps.apply(node.name, MEANS[n](), [value], Axes(0, 2))


def several(node: Any, name: str) -> tuple[Any, ...]:
    """The numbers of a function that takes them one by one, or as one tuple."""
    numbers = node.args[1:] or tuple(options(node, name).values())
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], tuple | list) else numbers


def view(steps: Steps, node: Any) -> Value:
    """Tensor.view and reshape, in torch's order of axes."""
    value = steps.in_layout(steps.of(first_of(node)), 0)
    sizes = several(node, "size" if function_name(node) == "view" else "shape")
    first, rest = (sizes[0], tuple(sizes[1:])) if sizes else (None, ())
    if not all(isinstance(size, int) for size in rest) or not (isinstance(first, int) or is_batch_size(first)):
        raise ConversionError(f"the shape {tuple(sizes)} is not known; known are numbers, and x.size(0) in front.")
    if not isinstance(first, int) and -1 in rest:
        source = sized(first)
        if not same_first(steps.module, first_of(node), source):
            return steps.apply(node.name, lift(ReshapeLike(rest)), [value, steps.of(source)], Axes(0, len(sizes)))
        layer = flatten() if rest == (-1,) else reshape(rest, 1)  # axis 0 stays
    else:
        layer = reshape((first if isinstance(first, int) else -1, *rest), 0)
    return steps.apply(node.name, layer, [value], Axes(0, len(sizes)))


@dataclass(frozen=True)
class ReshapeLike:
    """A function that gives an array the size of another on axis 0, and these on the others; a value, as specs are."""

    rest: tuple[int, ...]

    def __call__(self, x: Any) -> Any:
        return x[0].reshape((x[1].shape[0], *self.rest))


def reorder(steps: Steps, node: Any) -> Value:
    """Tensor.permute and transpose, of torch's order of axes."""
    value = steps.in_layout(steps.of(first_of(node)), 0)
    if function_name(node) == "permute":
        dims = several(node, "dims")
        return steps.apply(node.name, permute(tuple(dim % len(dims) for dim in dims)), [value], Axes(0, len(dims)))
    names = ("axis0", "axis1") if "axis0" in node.kwargs else ("dim0", "dim1")
    given = options(node, *names)
    dims, rank = tuple(given[name] for name in names), value.rank
    if rank is None:
        if not all(dim < 0 for dim in dims):
            raise ConversionError(f"transpose{dims} of an array whose number of axes is not known. Count the axes from "
                                  "the end, or call x.permute.")  # fmt: skip
        rank = max(-dim for dim in dims)
    order = list(range(-rank, 0))
    a, b = (dim % rank for dim in dims)
    order[a], order[b] = order[b], order[a]
    return steps.apply(node.name, permute(tuple(order)), [value], Axes(0, value.rank))


def entry(steps: Steps, node: Any) -> Value:
    """`x[1]` of a tuple, `x[:, -1]` or `x[:, -1, :]` of an array."""
    source, index = node.args
    if steps.knows(source) and steps.values[source].parts:
        return part(steps, node.name, steps.values[source], index)
    value = steps.of(source)
    parts = list(index) if isinstance(index, tuple) else [index]
    numbers = [i for i, part in enumerate(parts) if isinstance(part, int)]
    if len(numbers) != 1 or any(part != slice(None) for i, part in enumerate(parts) if i not in numbers):
        raise ConversionError(f"the index {index!r} is not converted; one number among full slices is, as x[:, -1].")
    value = steps.in_layout(value, 0)
    layer = take(parts[numbers[0]], numbers[0])
    return steps.apply(node.name, layer, [value], value.axes.plus(-1))


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
    if not isinstance(index, int):
        raise ConversionError(f"the index {index!r} of a tuple is not converted; a number is.")
    states = value.parts == "lstm" and index in (1, -1)
    return replace(steps.apply(name, select(index), [value], value.axes), parts="pair" if states else "")


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


def squeezed(steps: Steps, node: Any) -> Value:
    """An axis of size 1 disappears; one of another size, which torch would leave, is refused when it comes."""
    value, dim = steps.in_layout(steps.of(first_of(node)), 0), options(node, "dim").get("dim")
    if not isinstance(dim, int):
        raise ConversionError("squeeze without an axis depends on the sizes of its input. Say the axis: x.squeeze(-1).")
    checked = steps.apply(f"{node.name}_checked", unflatten(dim, (1,)), [value], Axes(0, value.rank))
    return steps.apply(node.name, take(0, dim), [checked], value.axes.plus(-1))


def unsqueezed(steps: Steps, node: Any) -> Value:
    """A new axis of size 1, split off a neighbour."""
    value, dim = steps.in_layout(steps.of(first_of(node)), 0), options(node, "dim").get("dim")
    if not isinstance(dim, int):
        raise ConversionError(f"the axis {dim!r} of unsqueeze is no number.")
    last = dim in (-1, value.rank)
    layer = unflatten(-1, (-1, 1)) if last else unflatten(dim if dim >= 0 else dim + 1, (1, -1))
    return steps.apply(node.name, layer, [value], value.axes.plus(1))


def is_sizes(node: Any) -> bool:
    """Whether a node is `x.shape` or `x.size()`."""
    name = function_name(node) if node.op.startswith("call_") else ""
    return (name == "getattr" and node.args[1] == "shape") or (name == "size" and len(node.args) == 1)


def is_batch_size(node: Any) -> bool:
    """Whether a node is `x.shape[0]` or `x.size(0)`."""
    if not hasattr(node, "op") or not node.op.startswith("call_"):
        return False
    name = function_name(node)
    return (name == "size" and node.args[1:] == (0,)) or (
        name == "getitem" and is_sizes(node.args[0]) and node.args[1] == 0
    )


def sized(node: Any) -> Any:
    """The node whose size a node is."""
    return node.args[0] if function_name(node) == "size" else node.args[0].args[0]


def is_shape(node: Any) -> bool:
    """Whether a node is about shapes alone, and makes no array."""
    name = function_name(node)
    return (
        is_sizes(node)
        or name == "size"
        or (name == "getitem" and hasattr(node.args[0], "op") and is_sizes(node.args[0]))
    )


SPECIAL = {
    **{name: Special(step) for name, step in ARITHMETIC.items()},
    **dict.fromkeys(("cat", "concat", "concatenate"), Special(join)),
    "mean": Special(mean),
    **dict.fromkeys(("view", "reshape"), Special(view, 0)),
    **dict.fromkeys(("permute", "transpose", "swapaxes"), Special(reorder, 0)),
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
