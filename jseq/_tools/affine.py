"""Affine maps of the features, `y = x * scale + shift`, and the layers that take one up into their own weights."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jseq._layers.batch_norm import batch_norm
from jseq._layers.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from jseq._layers.convolution import conv1d, conv2d, conv3d
from jseq._layers.instance_norm import instance_norm1d, instance_norm2d, instance_norm3d
from jseq._layers.linear import bias, bilinear, linear, scale
from jseq._layers.separable import separable_conv2d
from jseq.core import Layer, rebuild
from jseq.errors import ParamsError
from jseq.functional.windows import per_axis, resolve_padding

NORMS = (batch_norm, instance_norm1d, instance_norm2d, instance_norm3d)
CONVOLUTIONS = (conv1d, conv2d, conv3d)
TRANSPOSED = (conv_transpose1d, conv_transpose2d, conv_transpose3d)
TAKING = (linear, bilinear, separable_conv2d, *CONVOLUTIONS, *TRANSPOSED)
Wide = np.ndarray[Any, Any]


class Affine(NamedTuple):
    """`y = x * scale + shift` for each feature; None for 1 and for 0. Always in float64."""

    scale: Wide | None
    shift: Wide | None

    @property
    def features(self) -> int:
        """How many features it maps."""
        return max(part.shape[0] for part in self if part is not None)

    def then(self, other: "Affine") -> "Affine":
        """This map, and another after it."""
        shift = None if self.shift is None else times(self.shift, other.scale)
        return Affine(times(self.scale, other.scale), plus(shift, other.shift))


def times(first: Wide | None, second: Wide | None) -> Wide | None:
    """The product of what there is."""
    return first if second is None else second if first is None else first * second


def plus(first: Wide | None, second: Wide | None) -> Wide | None:
    """The sum of what there is."""
    return first if second is None else second if first is None else first + second


def wide(leaf: Any) -> Wide:
    """A leaf as a numpy array of double precision."""
    array = np.asarray(leaf)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def tracked(layer: Layer) -> bool:
    """Whether this is a normalisation by running statistics: an affine map in evaluation."""
    return layer.constructor in NORMS and layer.keeps_state


def affine_of(layer: Layer, params: Any, state: Any) -> Affine | None:
    """The map that a layer is in evaluation; None if it is no affine map of single features."""
    if layer.constructor is scale:
        return Affine(wide(params["weight"]), None)
    if layer.constructor is bias:
        return Affine(None, wide(params["bias"]))
    if not tracked(layer):
        return None
    own: dict[str, Any] = params or {}
    centre, spread = Affine(None, -wide(state["running_mean"])), wide(state["running_var"]) + layer.arguments["eps"]
    weight, shift = (wide(own[name]) if name in own else None for name in ("weight", "bias"))
    return centre.then(Affine(1 / np.sqrt(spread), None)).then(Affine(weight, shift))


def layers_of(affine: Affine, dtype: Any) -> list[tuple[Layer, Any]]:
    """The layers that are this map, with their params."""
    made: list[tuple[Layer, Any]] = []
    if affine.scale is not None:
        made.append((scale(affine.features), {"weight": as_leaf(affine.scale, dtype)}))
    if affine.shift is not None:
        made.append((bias(affine.features), {"bias": as_leaf(affine.shift, dtype)}))
    return made


def as_leaf(array: Wide, dtype: Any) -> Any:
    """An array as a leaf of params."""
    return jnp.asarray(array.astype(dtype))


def taken_after(layer: Layer, params: Any, affine: Affine) -> tuple[Layer, Any] | None:
    """A layer with the map after it in its own weights: exact always, since the map is one of output features."""
    if layer.constructor not in TAKING:
        return None
    if layer.constructor is separable_conv2d:
        return separable_after(layer, params, affine)
    weight = params["weight"]
    check(affine, weight.shape[-1])
    dense, old = wide(weight), params.get("bias")
    kept = plus(None if old is None else times(wide(old), affine.scale), affine.shift)
    return with_weights(layer, params, dense if affine.scale is None else dense * affine.scale, kept)


def separable_after(layer: Layer, params: Any, affine: Affine) -> tuple[Layer, Any]:
    """`taken_after` of a depthwise-separable convolution: its second half takes the map."""
    depthwise, last = params["depthwise"], params["pointwise"]
    features, out = last["weight"].shape[-2:]
    made = taken_after(conv2d(features, out, 1), last, affine)
    assert made is not None
    if "bias" in made[1] and "bias" not in depthwise:  # one argument decides on both biases
        depthwise = {**depthwise, "bias": jnp.zeros(depthwise["weight"].shape[-1:], depthwise["weight"].dtype)}
    plain = rebuild(layer.constructor, {**layer.arguments, "bias": "bias" in made[1]})
    return plain, {"depthwise": depthwise, "pointwise": made[1]}


def taken_before(layer: Layer, params: Any, affine: Affine) -> tuple[Layer, Any] | str:
    """A layer with the map before it in its own weights; or why it cannot be there exactly."""
    if layer.constructor not in (linear, *CONVOLUTIONS, *TRANSPOSED):
        return ""
    if affine.shift is not None and layer.constructor in TRANSPOSED:
        return "whose borders see fewer windows"
    if affine.shift is not None and layer.constructor in CONVOLUTIONS and pads_with_zeros(layer):
        return "which pads with zeros"
    weight, groups = params["weight"], layer.arguments.get("groups", 1)
    check(affine, weight.shape[-2] * groups)
    dense, shift = wide(weight), None if "bias" not in params else wide(params["bias"])
    if affine.shift is not None:
        moved = dense * by_input(affine.shift, groups, weight.shape[-1])
        shift = plus(moved.sum(tuple(range(moved.ndim - 1))), shift)
    if affine.scale is not None:
        dense = dense * by_input(affine.scale, groups, weight.shape[-1])
    return with_weights(layer, params, dense, shift)


def by_input(values: Wide, groups: int, out: int) -> Wide:
    """One number for each input feature, laid out as the last two axes of a weight: (in / groups, out)."""
    return np.repeat(values.reshape(groups, -1).T, out // groups, axis=1)


def pads_with_zeros(layer: Layer) -> bool:
    """Whether a convolution sees zeros around its input; other padding holds values of the input itself."""
    given, axes = layer.arguments, CONVOLUTIONS.index(layer.constructor) + 1
    window, strides, dilation = (per_axis(given[name], axes, name) for name in ("kernel_size", "stride", "dilation"))
    return given["padding_mode"] == "zeros" and any(
        map(any, resolve_padding(given["padding"], window, strides, dilation))
    )


def with_weights(layer: Layer, params: Any, weight: Wide, shift: Wide | None) -> tuple[Layer, Any]:
    """The layer with another weight, and a bias if there is one."""
    dtype = params["weight"].dtype
    made = {"weight": as_leaf(weight, dtype)}
    if shift is not None:
        made["bias"] = as_leaf(shift, params["bias"].dtype if "bias" in params else dtype)
    return rebuild(layer.constructor, {**layer.arguments, "bias": shift is not None}), made


def check(affine: Affine, features: int) -> None:
    """Refuses a map of other features than its neighbour has."""
    if affine.features != features:
        raise ParamsError(f"a layer of {affine.features} features stands beside one of {features}.")
