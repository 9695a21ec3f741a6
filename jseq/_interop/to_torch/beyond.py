"""Layers that torch.nn has no module for, as modules of a few lines."""

import math
from typing import Any

import numpy as np

from jseq._interop.extras import need
from jseq._interop.to_torch.classes import Own, chained, made, parameter, plain
from jseq._interop.to_torch.functions import function_module
from jseq._interop.to_torch.layers import by_name, windowed
from jseq._interop.to_torch.layouts import axis_in, one
from jseq._interop.to_torch.registry import FEATURES, Call
from jseq._interop.to_torch.rotation import angles
from jseq._layers.arithmetic import OPERATIONS


class Scale(Own):
    """`y = x * weight`, along the channels."""

    def forward(self: Any, x: Any) -> Any:
        return x * self.weight.reshape(-1, *(1,) * self.spatial_dims)


class Bias(Own):
    """`y = x + bias`, along the channels."""

    def forward(self: Any, x: Any) -> Any:
        return x + self.bias.reshape(-1, *(1,) * self.spatial_dims)


@by_name("scale bias")
def along_channels(call: Call) -> Any:
    scales = call.layer.name == "scale"
    module = made(Scale if scales else Bias, spatial_dims=call.spatial_dims)
    name = "weight" if scales else "bias"
    module.register_parameter(name, parameter(call.size(name, 0)))
    return module


class OwnArray(Own):
    """An array of its own, whatever x holds; within a graph it is the graph's."""

    def forward(self: Any, x: Any) -> Any:
        return self.weight


@by_name("parameter buffer", gives=0)
def own_array(call: Call) -> Any:
    module, array = made(OwnArray), parameter(*call.options["shape"])
    if call.layer.name == "parameter":
        module.register_parameter("weight", array)
    else:
        module.register_buffer("weight", array.data)
    return module


class Arithmetic(Own):
    """Combines every element with one number."""

    def forward(self: Any, x: Any) -> Any:
        compute = OPERATIONS[self.operation]
        return compute(self.value, x) if self.reverse else compute(x, self.value)


@by_name("arithmetic")
def arithmetic(call: Call) -> Any:
    return made(Arithmetic, **call.options)


class GlobalPool(Own):
    """The mean or the maximum over all spatial axes."""

    def forward(self: Any, x: Any) -> Any:
        axes = tuple(range(-self.spatial_dims, 0))
        return x.mean(axes) if self.kind == "avg" else x.amax(axes)


for n in (1, 2, 3):
    for kind in ("avg", "max"):

        @by_name(f"global_{kind}_pool{n}d", wants=n, gives=0)
        def global_pool(call: Call, kind: str = kind) -> Any:
            return made(GlobalPool, kind=kind, spatial_dims=call.spatial_dims)


class Reshape(Own):
    """Gives the axes from one on another shape."""

    def forward(self: Any, x: Any) -> Any:
        return x.reshape(*x.shape[: self.start_dim % x.ndim], *self.shape)


@by_name("reshape", wants=0)
def reshape(call: Call) -> Any:
    return made(Reshape, shape=call.options["shape"], start_dim=call.options["start_dim"])


class Take(Own):
    """One entry along an axis."""

    def forward(self: Any, x: Any) -> Any:
        return x.select(self.axis, self.index)


@by_name("take", wants=0)
def take(call: Call) -> Any:
    return made(Take, index=call.options["index"], axis=call.options["axis"])


class DropPath(Own):
    """Zeroes whole examples in training."""

    def forward(self: Any, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty(*x.shape[: x.ndim - self.event_dims], *(1,) * self.event_dims).bernoulli_(1 - self.p)
        return x * kept / (1 - self.p) if self.p < 1 else x * 0


@by_name("drop_path")
def drop_path(call: Call) -> Any:
    return made(DropPath, p=call.options["p"], event_dims=call.options["event_dims"])


class GaussianNoise(Own):
    """Adds noise in training."""

    def forward(self: Any, x: Any) -> Any:
        return x + self.std * x.new_empty(x.shape).normal_() if self.training else x


@by_name("gaussian_noise")
def gaussian_noise(call: Call) -> Any:
    return made(GaussianNoise, std=call.options["std"])


class Positions(Own):
    """Adds a learned vector to each element of a sequence."""

    def forward(self: Any, x: Any) -> Any:
        return x + self.weight[: x.shape[-2]]


@by_name("learned_positions", wants=FEATURES)
def learned_positions(call: Call) -> Any:
    module = made(Positions, num_positions=call.options["num_positions"])
    module.weight = parameter(call.options["num_positions"], call.size("weight", 1))
    return module


class Sinusoids(Own):
    """Adds sinusoids to each element of a sequence."""

    def forward(self: Any, x: Any) -> Any:
        return x + x.new_tensor(sinusoids(x.shape[-2], x.shape[-1], self.frequency))


def sinusoids(length: int, features: int, base: float) -> Any:
    """The table, in float64."""
    places = np.arange(length)[:, None] * np.exp(-math.log(base) * 2 * (np.arange(features) // 2) / max(features, 1))
    return np.where(np.arange(features) % 2, np.cos(places), np.sin(places))


@by_name("sinusoidal_positions", wants=FEATURES)
def sinusoidal_positions(call: Call) -> Any:
    return made(Sinusoids, frequency=call.options["base"])


class Rotary(Own):
    """Rotates pairs of features by angles that grow with the position."""

    def forward(self: Any, x: Any) -> Any:
        return angles(x, self.frequency, self.interleaved)


@by_name("rotary_embedding", wants=0)
def rotary_embedding(call: Call) -> Any:
    return made(Rotary, frequency=call.options["base"], interleaved=call.options["interleaved"])


class Gated(Own):
    """`y = w2(gate(w1(x)) * w3(x))`."""

    def forward(self: Any, x: Any) -> Any:
        return self.w2(self.gate(self.w1(x)) * self.w3(x))


@by_name("swiglu geglu", wants=FEATURES)
def gated(call: Call) -> Any:
    parts = {name: linear(call, name) for name in ("w1", "w2", "w3")}
    tanh = call.options.get("approximate")
    parts["gate"] = plain("SiLU") if tanh is None else plain("GELU", approximate=tanh)
    return made(Gated, parts)


def linear(call: Call, name: str) -> Any:
    """A linear map of the sizes that one of the layer's weights has."""
    inside, outside = (call.size(f"{name}.weight", axis) for axis in (0, 1))
    return plain("Linear", in_features=inside, out_features=outside, bias="bias" in call.params[name])


@by_name("separable_conv2d", wants=2)
def separable_conv2d(call: Call) -> Any:
    channels, bias = call.size("depthwise.weight", -1), call.options["bias"]
    given = {"in_channels": channels // call.options["depth_multiplier"], "out_channels": channels}
    depthwise = windowed(call, "Conv2d", **given, groups=given["in_channels"])
    pointwise = plain(
        "Conv2d", in_channels=channels, out_channels=call.options["out_channels"], kernel_size=1, bias=bias
    )
    return chained({"depthwise": depthwise, "pointwise": pointwise})


class SqueezeExcitation(Own):
    """`y = x * scale_activation(fc2(activation(fc1(mean(x)))))`."""

    def forward(self: Any, x: Any) -> Any:
        mean = x.mean((-2, -1), keepdim=True)
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(mean))))


@by_name("squeeze_excitation", wants=2)
def squeeze_excitation(call: Call) -> Any:
    parts: dict[str, Any] = {}
    for name, function in (("fc1", "activation"), ("fc2", "scale_activation")):
        inside, outside = (call.size(f"{name}.weight", axis) for axis in (-2, -1))
        parts[name] = plain("Conv2d", in_channels=inside, out_channels=outside, kernel_size=1)
        parts[function] = function_module(call.options[function], call.spatial_dims)
    return made(SqueezeExcitation, parts)


class Cast(Own):
    """Floating arrays in another dtype."""

    def forward(self: Any, *args: Any) -> Any:
        x = one(args)
        if isinstance(x, tuple):
            return tuple(self.forward(v) for v in x)  # pyright: ignore[reportUnknownVariableType]
        return x.to(getattr(need("torch", "torch"), self.dtype)) if x.is_floating_point() else x


@by_name("cast")
def cast(call: Call) -> Any:
    return made(Cast, dtype=call.options["dtype"])


class Concatenate(Own):
    """Joins the entries of a tuple."""

    def forward(self: Any, *x: Any) -> Any:
        return need("torch", "torch").cat(one(x), self.dim)


def concatenation(axis: int, layout: int) -> Any:
    """The module that joins arrays of this layout along an axis of jseq's."""
    return made(Concatenate, dim=axis_in(axis, layout))
