"""Functions of torch in a traced forward that change shapes: views, axes, repetitions, entries."""

from typing import Any

from jseq._interop.layouts import Axes
from jseq._interop.torch_axes import same_first
from jseq._interop.torch_functions import MODULES, function_name
from jseq._interop.torch_layers import MODES
from jseq._interop.torch_leavings import is_device
from jseq._interop.torch_sizes import Sizes, axis_of, counted, is_shape
from jseq._interop.torch_steps import Steps, Value, first_of
from jseq._layers.array_functions import AsFloat
from jseq._layers.array_shapes import Counted, Indexed, Padded, PooledWhole, Reshaped, Resized, Swapped
from jseq._layers.shape import flatten, permute, reshape, take, unflatten
from jseq.core import Layer, lift
from jseq.errors import ConversionError

# The arguments of pooling that leave a window as large as the image with one place to stand.
USUAL = {"stride": None, "padding": 0, "dilation": 1, "return_indices": False, "divisor_override": None}


def options(node: Any, *names: str) -> dict[str, Any]:
    """The arguments of a function beside its array, by name; refuses any other."""
    given = dict(zip(names, node.args[1:], strict=False))
    given |= {name: value for name, value in node.kwargs.items() if name not in ("input", "tensors")}
    if given.keys() - set(names) or len(node.args) > len(names) + 1:
        others = sorted(given.keys() - set(names)) or node.args[len(names) + 1 :]
        raise ConversionError(f"arguments {others} of {function_name(node)} are not converted; {names} are.")
    return given


def several(node: Any, name: str) -> tuple[Any, ...]:
    """The numbers of a function that takes them one by one, or as one tuple."""
    numbers = node.args[1:] or tuple(options(node, name).values())
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], tuple | list) else numbers


def with_sizes(steps: Steps, name: str, function: Any, value: Value, sizes: Sizes, axes: Axes) -> Value:
    """A step on an array, and on those that sizes are read off."""
    made = steps.apply(name, lift(function), [value, *sizes.arrays], axes)
    return made.as_fixed(value.fixed)


def view(steps: Steps, node: Any) -> Value:
    """Tensor.view and reshape, in torch's order of axes."""
    value = steps.in_layout(steps.of(first_of(node)), 0)
    sizes = several(node, "size" if function_name(node) == "view" else "shape")
    layer = view_of_rows(steps, node, sizes) if value.rank != 0 else None
    if layer is not None:
        return steps.apply(node.name, layer, [value], Axes(0, len(sizes)))
    read = Sizes(steps)
    wanted = read.all(sizes)
    return with_sizes(steps, node.name, Reshaped(wanted), value, read, Axes(0, counted(wanted)))


def view_of_rows(steps: Steps, node: Any, sizes: tuple[Any, ...]) -> Layer | None:
    """The layer of a view whose sizes are numbers, but for that of axis 0, which stays; None if it is another."""
    first, rest = (sizes[0], tuple(sizes[1:])) if sizes else (None, ())
    if not all(isinstance(size, int) for size in rest):
        return None
    if isinstance(first, int):
        return reshape((first, *rest), 0)
    source, axis = axis_of(first) or (None, None)
    if axis != 0:
        return None
    if -1 not in rest:
        return reshape((-1, *rest), 0)
    if not same_first(steps.module, first_of(node), source):
        return None
    return flatten() if rest == (-1,) else reshape(rest, 1)


def viewed_as(steps: Steps, node: Any) -> Value:
    """Tensor.view_as, reshape_as, expand_as."""
    value = steps.in_layout(steps.of(first_of(node)), 0)
    other = steps.of(options(node, "other")["other"])
    read = Sizes(steps)
    sizes = read.like(other, slice(None))
    how = "expand" if function_name(node) == "expand_as" else "reshape"
    return with_sizes(steps, node.name, Reshaped(sizes, how), value, read, Axes(0, counted(sizes)))


def repeated(steps: Steps, node: Any) -> Value:
    """Tensor.expand and repeat."""
    value, read, how = steps.in_layout(steps.of(first_of(node)), 0), Sizes(steps), function_name(node)
    sizes = read.all(several(node, "size" if how == "expand" else "repeats"))
    return with_sizes(steps, node.name, Reshaped(sizes, how), value, read, Axes(0, counted(sizes)))


def reorder(steps: Steps, node: Any) -> Value:
    """Tensor.permute and transpose, of torch's order of axes."""
    value = steps.in_layout(steps.of(first_of(node)), 0)
    if function_name(node) == "t":
        return steps.apply(node.name, permute((1, 0)), [value], Axes(0, 2))
    if function_name(node) == "permute":
        dims = several(node, "dims")
        return steps.apply(node.name, permute(tuple(dim % len(dims) for dim in dims)), [value], Axes(0, len(dims)))
    names = ("axis0", "axis1") if "axis0" in node.kwargs else ("dim0", "dim1")
    given = options(node, *names)
    dims, rank = tuple(given[name] for name in names), value.rank
    if rank == 0:
        return value
    if rank is None and not all(dim < 0 for dim in dims):
        return steps.apply(node.name, lift(Swapped(*dims)), [value], Axes())
    rank = max(-dim for dim in dims) if rank is None else rank
    order = list(range(-rank, 0))
    a, b = (dim % rank for dim in dims)
    order[a], order[b] = order[b], order[a]
    return steps.apply(node.name, permute(tuple(order)), [value], Axes(0, value.rank))


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
    if value.rank == 0:
        return steps.apply(node.name, lift(Reshaped((1,))), [value], Axes(0, 1))
    last = dim in (-1, value.rank)
    layer = unflatten(-1, (-1, 1)) if last else unflatten(dim if dim >= 0 else dim + 1, (1, -1))
    return steps.apply(node.name, layer, [value], value.axes.plus(1))


def indexed(steps: Steps, node: Any) -> Value:
    """Entries of an array, in torch's order of axes."""
    source, index = node.args
    value = steps.in_layout(steps.of(source), 0)
    parts = list(index) if isinstance(index, tuple) else [index]
    numbers = [i for i, part in enumerate(parts) if isinstance(part, int)]
    if len(numbers) == 1 and all(part == slice(None) for i, part in enumerate(parts) if i not in numbers):
        return steps.apply(node.name, take(parts[numbers[0]], numbers[0]), [value], value.axes.plus(-1))
    read = Sizes(steps)
    places = tuple(place(read, part, index) for part in parts)
    axes = value.axes.plus(sum(part is None for part in parts) - len([p for p in places if is_entry(p)]))
    return with_sizes(steps, node.name, Indexed(places), value, read, axes)


def place(read: Sizes, part: Any, index: Any) -> Any:
    """One part of an index, as a value."""
    if part is None or (isinstance(part, int) and not isinstance(part, bool)):
        return part
    if part is Ellipsis:
        return "..."
    if isinstance(part, slice):
        return ("slice", *(read.of(one) for one in (part.start, part.stop, part.step)))  # pyright: ignore
    if not is_shape(part):
        raise ConversionError(f"the index {index!r:.60} is not converted; numbers, slices, None and ... are.")
    return read.of(part)


def is_entry(place: Any) -> bool:
    """Whether a part of an index takes one entry, so that its axis disappears."""
    return isinstance(place, int) or (isinstance(place, tuple) and place[0] != "slice")


def arange(steps: Steps, node: Any) -> Value:
    """torch.arange of a size."""
    given = {"start": 0} | {name: value for name, value in node.kwargs.items() if name not in ("device", "dtype")}
    given |= dict(zip(("end",) if len(node.args) == 1 else ("start", "end"), node.args, strict=False))
    read = Sizes(steps)
    bounds = [read.of(given[name]) for name in ("start", "end") if name in given]
    known = given.keys() == {"start", "end"} and len(node.args) < 3 and all(map(is_whole, bounds))
    if not known or "int" not in str(node.kwargs.get("dtype", "int")):
        raise ConversionError(f"arange{node.args} is converted from start to end alone, as whole numbers.")
    function = Counted(*bounds)
    first, *_ = read.arrays
    return with_sizes(steps, node.name, function, first, read, Axes(0, 1)).as_fixed(True)


def is_whole(size: Any) -> bool:
    """Whether a size is a whole number."""
    if isinstance(size, tuple):
        return size[0] == "size" or (size[0] != "pow" and all(map(is_whole, size[1:])))  # pyright: ignore
    return isinstance(size, int)


def each(sizes: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """Sizes of n axes, which may be one for all."""
    return sizes * n if counted(sizes) == 1 else sizes


def resized(steps: Steps, node: Any) -> Value:
    """torch.nn.functional.interpolate to the size of an array."""
    names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")
    given: dict[str, Any] = {"mode": "nearest", "align_corners": None} | options(node, *names)
    others = {name for name in ("scale_factor", "recompute_scale_factor", "antialias") if given.get(name)}
    read, value = Sizes(steps), steps.of(first_of(node))
    size = given["size"] if isinstance(given["size"], tuple | list) else (given["size"],)
    sizes = read.all(tuple(size))
    known = value.layout or max((value.rank or 2) - 2, 0) or MODES.get(given["mode"])
    n = known or (len(sizes) if len(sizes) > 1 else 0)
    if others or not n or counted(sizes) not in (None, 1, n):
        raise ConversionError(
            f"interpolate to {sizes} with {sorted(others)} is not converted; to one size per axis is."
        )
    function = Resized(each(sizes, n), given["mode"], given["align_corners"])
    return with_sizes(steps, node.name, function, steps.in_layout(value, n), read, Axes(n))


def pooled_whole(steps: Steps, node: Any) -> Value:
    """Pooling over windows of the size of the image."""
    kind, n = function_name(node).split("_")[0], int(function_name(node)[-2])
    given = options(node, *MODULES[function_name(node)][1])
    kernel, changed = given["kernel_size"], [name for name, usual in USUAL.items() if given.get(name, usual) != usual]
    read = Sizes(steps)
    sizes = read.all(tuple(kernel) if isinstance(kernel, tuple | list) else (kernel,))
    if changed or counted(sizes) not in (None, 1, n):
        raise ConversionError(f"pooling over windows of {kernel} with {changed} is not converted.")
    function = PooledWhole("mean" if kind == "avg" else "max", each(sizes, n))
    return with_sizes(steps, node.name, function, steps.in_layout(steps.of(first_of(node)), n), read, Axes(n))


def on_device(steps: Steps, node: Any) -> Value:
    """`x.to(device)`, which leaves the numbers as they are."""
    if not all(map(is_device, (*node.args[1:], *node.kwargs.values()))):
        raise ConversionError(f"to{node.args[1:]} is not converted; to a device it is.")
    return steps.of(first_of(node))


def padded(steps: Steps, node: Any) -> Value:
    """torch.nn.functional.pad by sizes of arrays, with a number."""
    given: dict[str, Any] = {"mode": "constant", "value": None} | options(node, "pad", "mode", "value")
    if given["mode"] != "constant":
        raise ConversionError(f"pad by sizes is converted with a number, not with mode={given['mode']!r}.")
    read = Sizes(steps)
    function = Padded(tuple(read.of(size) for size in given["pad"]), given["value"] or 0)
    value = steps.in_layout(steps.of(first_of(node)), 0)
    return with_sizes(steps, node.name, function, value, read, value.axes)


def cast(steps: Steps, node: Any) -> Value:
    """`mask.float()`."""
    options(node)
    value = steps.of(first_of(node))
    return steps.apply(node.name, lift(AsFloat()), [value], value.axes)
