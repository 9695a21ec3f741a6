"""Convolutions, padding and what is made of them, in ONNX."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.registry import Call, emitter_of, onnx_emitter
from jseq._interop.onnx.shape import channels_first, channels_last
from jseq._interop.onnx.value import Value
from jseq._layers import conv_transpose, convolution, padding, padding_edges, separable, squeeze_excitation, vision
from jseq.core import lift
from jseq.functional.padding import pad_pairs
from jseq.functional.windows import Pairs, per_axis, resolve_padding, window_sizes

MODES = {"zeros": "constant", "constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def sides(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """ONNX's order: all that is in front, then all that is behind."""
    return [low for low, _ in pairs] + [high for _, high in pairs]


def padded(graph: Graph, x: Value, pairs: Pairs, mode: str, value: float = 0.0) -> Value:
    """Pads the axes before the last; negative padding crops: before wrapping around, after the other modes."""
    n = len(pairs)
    first = x.ndim - 1 - n
    sizes = x.shape[first:-1]
    cropped = [(max(-low, 0), size + min(high, 0)) for size, (low, high) in zip(sizes, pairs, strict=True)]
    if mode != "circular":  # the cuts are counted in the padded axis
        cropped = [(a, b + max(low, 0) + max(high, 0)) for (a, b), (low, high) in zip(cropped, pairs, strict=True)]
    grown = tuple((max(low, 0), max(high, 0)) for low, high in pairs)
    steps = (crop, pad) if mode == "circular" else (pad, crop)
    for step in steps:
        x = step(graph, x, first, cropped if step is crop else grown, mode, value)
    return x


def crop(graph: Graph, x: Value, first: int, cuts: Any, mode: str, value: float) -> Value:
    """Takes a range of each spatial axis."""
    for axis, (start, stop) in enumerate(cuts, first):
        x = graph.take(x, axis, start, stop)
    return x


def pad(graph: Graph, x: Value, first: int, pairs: Any, mode: str, value: float) -> Value:
    """Adds to both ends of each spatial axis, wherever it is stored."""
    if not any(map(any, pairs)):
        return x
    stored = [(0, 0)] * x.ndim
    for axis, pair in enumerate(pairs, first):
        stored[x.place(axis)] = pair
    pads = graph.constant(np.array(sides(stored), np.int64))
    fill = [graph.value(float(value), (x,)).name] if MODES[mode] == "constant" else []
    (name,) = graph.emit("Pad", [x.name, pads.name, *fill], mode=MODES[mode])
    shape = tuple(n + low + high if low or high else n for n, (low, high) in zip(x.stored, stored, strict=True))
    return Value(graph, name, shape, x.dtype, x.perm)


PADDING = [getattr(module, f"{kind}_pad{n}d") for n in (1, 2, 3)
           for module, kinds in ((padding, ("zero", "constant")),
                                 (padding_edges, ("reflection", "replication", "circular")))
           for kind in kinds]  # fmt: skip
NAMES = {"zero": "zeros", "constant": "constant", "reflection": "reflect", "replication": "replicate",
         "circular": "circular"}  # fmt: skip


@onnx_emitter(*PADDING)
def padding_layer(graph: Graph, call: Call) -> Value:
    kind, _, dims = call.layer.name.partition("_pad")
    pairs = pad_pairs(call.options["padding"], int(dims[0]))
    return padded(graph, call.x, pairs, NAMES[kind], call.options.get("value", 0.0))


def conv(graph: Graph, x: Value, params: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
         padding_mode: str = "zeros") -> Value:  # fmt: skip
    """A convolution over as many axes as the weight has beside its channels."""
    weight = np.asarray(params["weight"])
    n = weight.ndim - 2
    window = weight.shape[:n]
    strides, dilations = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
    pairs = resolve_padding(padding, window, strides, dilations)
    if padding_mode != "zeros":
        x, pairs = padded(graph, x, pairs, padding_mode), ((0, 0),) * n
    first = channels_first(graph, x, n)
    kernel = graph.value(np.moveaxis(weight, (-1, -2), (0, 1)), (x,), "weight")
    bias = None if "bias" not in params else graph.value(params["bias"], (x,), "bias")
    counts = window_sizes(first.shape[2:], window, strides, dilations, pairs)
    y = graph.op("Conv", first, kernel, bias, shape=(first.shape[0], weight.shape[-1], *counts), kernel_shape=window,
                 strides=strides, dilations=dilations, group=groups, pads=sides(pairs))  # fmt: skip
    return channels_last(graph, y, x, n)


@onnx_emitter(convolution.conv1d, convolution.conv2d, convolution.conv3d)
def convolved(graph: Graph, call: Call) -> Value:
    names = ("stride", "padding", "dilation", "groups", "padding_mode")
    return conv(graph, call.x, call.params, *(call.options[name] for name in names))


@onnx_emitter(separable.separable_conv2d)
def separable_conv(graph: Graph, call: Call) -> Value:
    options, depthwise = call.options, call.params["depthwise"]
    groups = depthwise["weight"].shape[-1] // options["depth_multiplier"]
    y = conv(graph, call.x, depthwise, options["stride"], options["padding"], options["dilation"], groups)
    return conv(graph, y, call.params["pointwise"])


@onnx_emitter(squeeze_excitation.squeeze_excitation)
def excited(graph: Graph, call: Call) -> Value:
    def function(name: str, x: Value) -> Value:
        layer = lift(call.options[name])
        return emitter_of(layer)(graph, Call(layer, (), (), x))

    mean = graph.reduce("ReduceMean", call.x, (-3, -2))
    hidden = function("activation", conv(graph, mean, call.params["fc1"]))
    return call.x * function("scale_activation", conv(graph, hidden, call.params["fc2"]))


def transposed(graph: Graph, first: Value, weight: np.ndarray, groups: int, sizes: Any, strides: Any, dilations: Any,
               padding: Any, more: Any) -> Value:  # fmt: skip
    """ConvTranspose of (N, C, *spatial) to (N, out, *sizes); weight (*window, in / groups, out), `more` behind."""
    parts = np.split(np.moveaxis(weight, (-2, -1), (0, 1)), groups, axis=1)  # (in / groups, out / groups, *window)
    kernel = graph.value(np.concatenate(parts), (first,), "weight")
    pads, beyond = [(p, p) for p in padding], (0,) * len(sizes)
    if any(m >= s for m, s in zip(more, strides, strict=True)):  # onnxruntime refuses it: crop less, then add zeros
        pads = [(p, max(p - m, 0)) for p, m in zip(padding, more, strict=True)]
        beyond, more = tuple(max(m - p, 0) for p, m in zip(padding, more, strict=True)), (0,) * len(sizes)
    shape = (first.shape[0], weight.shape[-1], *(n - b for n, b in zip(sizes, beyond, strict=True)))
    y = graph.op("ConvTranspose", first, kernel, shape=shape, kernel_shape=weight.shape[:-2], group=groups,
                 strides=strides, dilations=dilations, pads=sides(pads), output_padding=more)  # fmt: skip
    return graph.moveaxis(pad(graph, graph.moveaxis(y, 1, -1), 1, [(0, b) for b in beyond], "zeros", 0.0), -1, 1)


@onnx_emitter(conv_transpose.conv_transpose1d, conv_transpose.conv_transpose2d, conv_transpose.conv_transpose3d)
def conv_transposed(graph: Graph, call: Call) -> Value:
    weight, options = np.asarray(call.params["weight"]), call.options
    n = weight.ndim - 2
    given = [per_axis(options[name], n, name, 0) for name in ("stride", "dilation", "padding", "output_padding")]
    sizes = call.y.shape[-1 - n : -1]
    y = transposed(graph, channels_first(graph, call.x, n), weight, options["groups"], sizes, *given)
    y = channels_last(graph, y, call.x, n)
    return y if "bias" not in call.params else y + call.params["bias"]


@onnx_emitter(vision.fold)
def folded(graph: Graph, call: Call) -> Value:
    """A transposed convolution of each channel whose weights are one-hot: each tap of a window goes to its place."""
    names = ("kernel_size", "dilation", "padding", "stride")
    kernel, dilation, padding, stride = (per_axis(call.options[name], 2, name, 0) for name in names)
    *lead, height, width, channels = call.y.shape
    pairs = [(p, p) for p in padding]
    counts = window_sizes((height, width), kernel, stride, dilation, pairs)
    taps = kernel[0] * kernel[1]
    x = graph.reshape(call.x, (*lead, *counts, channels * taps))
    one_hot = np.zeros((*kernel, taps, channels))
    for tap in range(taps):
        one_hot[tap // kernel[1], tap % kernel[1], tap] = 1
    spans = [(c - 1) * s - 2 * p + d * (k - 1) + 1
             for c, s, p, d, k in zip(counts, stride, padding, dilation, kernel, strict=True)]  # fmt: skip
    more = [size - span for size, span in zip((height, width), spans, strict=True)]
    y = transposed(graph, channels_first(graph, x, 2), one_hot, channels, (height, width), stride, dilation, padding,
                   more)  # fmt: skip
    return channels_last(graph, y, x, 2)
