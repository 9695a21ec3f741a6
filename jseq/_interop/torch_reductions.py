"""Means, sums and maxima over axes in a traced forward."""

from dataclasses import replace
from typing import Any

from jseq._interop.layouts import Axes
from jseq._interop.torch_arithmetic import Step, extreme_of_two
from jseq._interop.torch_functions import function_name
from jseq._interop.torch_shapes import options
from jseq._interop.torch_steps import Steps, Value, first_of
from jseq._layers.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from jseq._layers.array_functions import Normalised, Reduced
from jseq._layers.global_pooling import global_avg_pool1d, global_avg_pool2d, global_avg_pool3d
from jseq.core import lift
from jseq.errors import ConversionError

MEANS = {1: global_avg_pool1d, 2: global_avg_pool2d, 3: global_avg_pool3d}
MEANS_KEPT = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
OPERATIONS = {"mean": "mean", "sum": "sum", "prod": "prod", "amax": "max", "amin": "min", "logsumexp": "logsumexp"}


def reduced(steps: Steps, node: Any) -> Value:
    """The mean over all spatial axes is global pooling; any other is in torch's order of axes."""
    value, given, name = steps.of(first_of(node)), options(node, "dim", "keepdim"), function_name(node)
    dims, n, kept = given.get("dim"), value.layout, bool(given.get("keepdim", False))
    axes = (dims,) if isinstance(dims, int) else tuple(dims) if dims else None
    if name == "mean" and n and axes and sorted(dim % (n + 2) for dim in axes) == list(range(2, n + 2)):
        if kept:
            return steps.apply(node.name, MEANS_KEPT[n](1), [value], value.axes)
        return steps.apply(node.name, MEANS[n](), [value], Axes(0, 2))
    return over(steps, node.name, Reduced(OPERATIONS[name], axes, kept), value)


def over(steps: Steps, name: str, function: Reduced, value: Value) -> Value:
    """A reduction, in torch's order of axes."""
    value = steps.in_layout(value, 0)
    if function.axes is None:
        return steps.apply(name, lift(function), [value], value.axes if function.keepdims else Axes(0, 0))
    return steps.apply(name, lift(function), [value], value.axes.plus(0 if function.keepdims else -len(function.axes)))


def extreme(steps: Steps, node: Any) -> Value:
    """`x.max()`, and `x.max(1)`, of which the values are taken."""
    other = node.args[1] if len(node.args) > 1 else node.kwargs.get("other")
    if steps.knows(other):
        return extreme_of_two(steps, node)
    given = options(node, "dim", "keepdim")
    dim, kept = given.get("dim"), bool(given.get("keepdim", False))
    if dim is not None and not isinstance(dim, int):
        raise ConversionError(f"{function_name(node)} of {dim!r:.40} is not converted; along one axis it is.")
    function = Reduced(function_name(node), None if dim is None else (dim,), kept)
    made = over(steps, node.name, function, steps.of(first_of(node)))
    return made if dim is None else replace(made, parts="extremes")


def normalised(steps: Steps, node: Any) -> Value:
    """torch.nn.functional.normalize."""
    given = {"p": 2.0, "dim": 1, "eps": 1e-12} | options(node, "p", "dim", "eps", "out")
    if given["p"] != 2 or not isinstance(given["dim"], int):
        raise ConversionError(f"normalize with p={given['p']!r} along {given['dim']!r} is not converted; p=2 along one "
                              "axis is.")  # fmt: skip
    value = steps.in_layout(steps.of(first_of(node)), 0)
    return steps.apply(node.name, lift(Normalised(given["dim"], given["eps"])), [value], value.axes)


REDUCTIONS: dict[str, Step] = {
    **dict.fromkeys(OPERATIONS, reduced),
    **dict.fromkeys(("max", "min"), extreme),
    "normalize": normalised,
}
