"""The layers of torch.nn, one by one: most have jseq's names for their arguments, and are copied by them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jseq._interop.extras import need
from jseq._interop.to_torch.classes import plain, torch_class
from jseq._interop.to_torch.layouts import axis_in, before, spread
from jseq._interop.to_torch.registry import FEATURES, Call, converter
from jseq.core import CONSTRUCTORS, Layer
from jseq.errors import ConversionError

# Where the sizes that a layer infers stand: argument, path, axis.
SIZES = {
    "linear": (("in_features", "weight", 0),),
    "bilinear": (("in1_features", "weight", 0), ("in2_features", "weight", 1)),
    "rnn_cell": (("input_size", "weight_ih", 0),),
    "lstm_cell": (("input_size", "weight_ih", 0),),
    "gru_cell": (("input_size", "weight_ih", 0),),
    "rnn": (("input_size", "weight_ih_l0", 0),),
    "lstm": (("input_size", "weight_ih_l0", 0),),
    "gru": (("input_size", "weight_ih_l0", 0),),
    "layer_norm": (("normalized_shape", "weight", 0),),
    "rms_norm": (("normalized_shape", "weight", 0),),
    "prelu": (("num_parameters", "weight", 0),),
    "multihead_attention": (("embed_dim", "out_proj.weight", 1),),
}


def sizes(call: Call) -> dict[str, Any]:
    """The sizes that were inferred, by argument."""
    rows = SIZES.get(call.layer.name, ())
    return {name: call.size(path, axis) for name, path, axis in rows if call.options[name] is None}


def torch_name(layer: Layer) -> str:
    """The class of torch.nn with the name of a layer: `leaky_relu` is LeakyReLU."""
    own = layer.name.replace("_", "")
    return next(name for name in vars(need("torch.nn", "torch")) if name.lower() == own and name != own)


def arguments(call: Call, module_class: Any) -> dict[str, Any]:
    """The arguments that the class has under the same names."""
    known = inspect.signature(module_class).parameters
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    own = {p.name for p in call.layer.signature.parameters.values() if p.kind is not p.KEYWORD_ONLY}
    given = {name: value for name, value in call.options.items() if name in known or (free and name in own)}
    return given | sizes(call)


def copied(call: Call, name: str = "", own: type | None = None, **given: Any) -> Any:
    """The module of torch.nn with the layer's arguments; with `own` a subclass with that forward."""
    name = name or torch_name(call.layer)
    module_class = getattr(need("torch.nn", "torch"), name)
    made = torch_class(own, name) if own is not None else module_class
    return made(**arguments(call, module_class) | given)


def by_name(names: str, **options: Any) -> Callable[[Any], Any]:
    """Registers a converter for layers by their names."""
    return converter(*(CONSTRUCTORS[f"jseq.{name}"] for name in names.split()), **options)


class OnFeatures:
    """A module of channels on axis 1, on arrays whose channels are last."""

    features_last = True  # from_torch converts it as the class that it stands on

    def forward(self: Any, x: Any) -> Any:
        return self.base.forward(self, x.reshape(-1, x.shape[-1], 1)).reshape(x.shape)


def of_channels(call: Call, name: str, **given: Any) -> Any:
    """A module that takes any number of spatial axes, and none."""
    return copied(call, name, None if call.spatial_dims else OnFeatures, **given)


by_name(
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu relu6 rrelu selu sigmoid "
    "silu softplus softshrink softsign tanh tanhshrink threshold identity dropout alpha_dropout"
)(copied)
by_name("linear layer_norm rms_norm", wants=FEATURES)(copied)
by_name("embedding embedding_bag flatten unflatten", wants=0)(copied)
by_name("softmax2d cross_map_lrn2d pixel_shuffle pixel_unshuffle upsampling_nearest2d upsampling_bilinear2d",
        wants=2)(copied)  # fmt: skip
by_name("unfold", wants=2, gives=1)(copied)
by_name("fold", wants=1, gives=2)(copied)
by_name("bilinear rnn_cell lstm_cell gru_cell cosine_similarity pairwise_distance", wants=0)(
    lambda call: spread(copied(call))
)
for n in (1, 2, 3):
    pads = " ".join(f"{kind}_pad{n}d" for kind in ("zero", "constant", "reflection", "replication", "circular"))
    by_name(f"dropout{n}d max_pool{n}d avg_pool{n}d lp_pool{n}d {pads}", wants=n)(copied)
for n in (2, 3):
    by_name(f"adaptive_avg_pool{n}d adaptive_max_pool{n}d fractional_max_pool{n}d", wants=n)(copied)


@by_name("adaptive_avg_pool1d adaptive_max_pool1d", wants=1)
def adaptive_pool1d(call: Call) -> Any:
    """torch's take no None, which keeps the size."""
    if call.options["output_size"] is not None:
        return copied(call)
    if call.options.get("return_indices"):
        raise ConversionError("output_size=None with return_indices has no torch module.")
    return plain("Identity")


@by_name("softmax log_softmax softmin glu")
def along_axis(call: Call) -> Any:
    return copied(call, dim=axis_in(call.options["dim"], call.spatial_dims))


def declared_dims(layer: Layer) -> Any:
    """The layout of a layer that declares its spatial axes."""
    return layer.arguments["spatial_dims"] or FEATURES


@by_name("group_norm", wants=declared_dims)
def group_norm(call: Call) -> Any:
    channels = call.options["num_channels"]
    if channels is None:
        channels = call.size("weight", 0) if call.options["affine"] else call.options["num_groups"]
    return of_channels(call, "GroupNorm", num_channels=channels)


@by_name("feature_alpha_dropout", wants=declared_dims)
def feature_alpha_dropout(call: Call) -> Any:
    return copied(call)


@by_name("batch_norm")
def batch_norm(call: Call) -> Any:
    """Without statistics and affine map torch needs no size; 1 stands for it."""
    options, features = call.options, call.options["num_features"]
    if features is None:
        tracked = options["track_running_stats"]
        features = call.size("running_mean" if tracked else "weight", 0) if tracked or options["affine"] else 1
    return of_channels(call, f"BatchNorm{call.spatial_dims or 1}d", num_features=features)


@by_name("instance_norm1d instance_norm2d instance_norm3d", wants=lambda layer: int(layer.name[-2]))
def instance_norm(call: Call) -> Any:
    options, features = call.options, call.options["num_features"]
    if features is None:
        path = "weight" if options["affine"] else "running_mean"
        features = call.size(path, 0) if options["affine"] or options["track_running_stats"] else 1
    return copied(call, num_features=features)


@by_name("prelu")
def prelu(call: Call) -> Any:
    shared = call.size("weight", 0) == 1
    return copied(call, "PReLU") if shared else of_channels(call, "PReLU")


@by_name("local_response_norm")
def local_response_norm(call: Call) -> Any:
    return of_channels(call, "LocalResponseNorm")


@by_name("channel_shuffle")
def channel_shuffle(call: Call) -> Any:
    return of_channels(call, "ChannelShuffle")


MODES = {"linear": 1, "trilinear": 3}  # the others are of images, unless spatial_dims says otherwise


@by_name("upsample", wants=lambda layer: layer.arguments["spatial_dims"] or MODES.get(layer.arguments["mode"], 2))
def upsample(call: Call) -> Any:
    return copied(call)


@dataclass(frozen=True)
class Pad:
    """Pads spatial axes by numbers that differ before and behind, which torch's convolutions do not take."""

    sides: tuple[int, ...]
    mode: str

    def __call__(self, x: Any) -> Any:
        return need("torch.nn.functional", "torch").pad(x, self.sides, self.mode)


@by_name("conv1d conv2d conv3d", wants=lambda layer: int(layer.name[-2]))
def convolution(call: Call) -> Any:
    return windowed(call, torch_name(call.layer), in_channels=channels_in(call))


def windowed(call: Call, name: str, **given: Any) -> Any:
    """A convolution, with the padding of (before, after) pairs in front of it."""
    padding: Any = call.options["padding"]
    if not isinstance(padding, tuple) or not any(isinstance(side, tuple) for side in padding):  # pyright: ignore
        return copied(call, name, None, **given)
    mode = call.options.get("padding_mode", "zeros")
    sides: list[Any] = [side if isinstance(side, tuple) else (side, side) for side in padding]  # pyright: ignore
    changed: dict[str, Any] = {**given, "padding": 0, "padding_mode": "zeros"}
    flat = tuple(number for side in reversed(sides) for number in side)
    return before(copied(call, name, None, **changed), Pad(flat, "constant" if mode == "zeros" else mode))


def channels_in(call: Call) -> int:
    """The channels of a convolution's input."""
    return call.options["in_channels"] or call.size("weight", -2) * call.options["groups"]


@by_name("conv_transpose1d conv_transpose2d conv_transpose3d", wants=lambda layer: int(layer.name[-2]))
def transposed_convolution(call: Call) -> Any:
    return copied(call, in_channels=channels_in(call))


@by_name("max_unpool1d max_unpool2d max_unpool3d", wants=lambda layer: int(layer.name[-2]))
def max_unpool(call: Call) -> Any:
    size = call.options["output_size"]
    spatial = int(call.layer.name[-2])
    return spread(copied(call), *(() if size is None else ((size,) * spatial if isinstance(size, int) else size,)))
