"""The layers of torch.nn, one by one: most have jseq's names for their arguments, and are copied by them."""

import inspect
from collections.abc import Callable
from typing import Any

from jseq._interop.torch_registry import built_in
from jseq.core import CONSTRUCTORS, Layer
from jseq.errors import ConversionError

WINDOWS = ("kernel_size", "stride", "padding", "dilation", "output_padding")


def copied(module: Any, name: str, **given: Any) -> Layer:
    """The jseq layer with the arguments that the module has under the same names."""
    constructor = CONSTRUCTORS[f"jseq.{name}"]
    arguments: dict[str, Any] = {}
    for parameter in inspect.signature(constructor).parameters.values():
        if parameter.name in given or (parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "bias"):
            continue
        if parameter.name == "bias":
            affine = getattr(module, "affine", True) and getattr(module, "elementwise_affine", True)
            arguments["bias"] = not affine or (module.bias is not None and module.bias is not False)
        else:
            arguments[parameter.name] = getattr(module, parameter.name)
    return constructor(**arguments, **given)


def copier(name: str, **given: Any) -> Callable[[Any], Layer]:
    """A converter that copies the arguments."""
    return lambda module: copied(module, name, **given)


def single(value: Any) -> Any:
    """A window of equal sizes as one number."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value  # pyright: ignore


ELEMENTWISE = """CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh Mish RReLU ReLU ReLU6 SELU SiLU Sigmoid
Softplus Softshrink Softsign Tanh Tanhshrink Threshold Identity Dropout"""
for torch_name in ELEMENTWISE.split():
    built_in(torch_name)(copier(torch_name.lower()))
built_in("LeakyReLU")(copier("leaky_relu"))
built_in("LogSigmoid")(copier("logsigmoid"))
built_in("AlphaDropout")(copier("alpha_dropout"))
built_in("PReLU", by_rank=True)(copier("prelu"))

for n in (1, 2, 3):
    built_in(f"Dropout{n}d", n)(copier(f"dropout{n}d"))
    built_in(f"MaxPool{n}d", n)(copier(f"max_pool{n}d"))
    built_in(f"AvgPool{n}d", n)(copier(f"avg_pool{n}d"))
    built_in(f"LPPool{n}d", n)(copier(f"lp_pool{n}d"))
    built_in(f"AdaptiveAvgPool{n}d", n)(copier(f"adaptive_avg_pool{n}d"))
    built_in(f"AdaptiveMaxPool{n}d", n)(copier(f"adaptive_max_pool{n}d"))
    built_in(f"MaxUnpool{n}d", n)(copier(f"max_unpool{n}d"))
    built_in(f"InstanceNorm{n}d", n)(copier(f"instance_norm{n}d"))
    for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular"):
        built_in(f"{kind}Pad{n}d", n)(copier(f"{kind.lower()}_pad{n}d"))
for n in (2, 3):
    built_in(f"BatchNorm{n}d", n)(copier("batch_norm"))
built_in("BatchNorm1d SyncBatchNorm", by_rank=True)(copier("batch_norm"))  # (N, C) too
built_in("CrossMapLRN2d", 2)(copier("cross_map_lrn2d"))
built_in("PixelShuffle", 2)(copier("pixel_shuffle"))
built_in("PixelUnshuffle", 2)(copier("pixel_unshuffle"))
built_in("UpsamplingNearest2d", 2)(copier("upsampling_nearest2d"))
built_in("UpsamplingBilinear2d", 2)(copier("upsampling_bilinear2d"))
built_in("Softmax2d", 2)(copier("softmax2d"))
built_in("Unfold", 2, 1)(copier("unfold"))
built_in("Fold", 1, 2)(copier("fold"))

built_in("Linear", 0)(copier("linear"))
built_in("Bilinear", 0)(copier("bilinear"))
built_in("Embedding", 0)(copier("embedding"))
built_in("EmbeddingBag", 0)(copier("embedding_bag"))
built_in("RMSNorm", 0)(lambda module: copied(module, "rms_norm", normalized_shape=shape_of(module)))
built_in("LayerNorm", 0)(lambda module: copied(module, "layer_norm", normalized_shape=shape_of(module)))
built_in("CosineSimilarity", 0)(copier("cosine_similarity"))
built_in("Flatten", 0)(copier("flatten"))
built_in("RNNCell", 0)(copier("rnn_cell"))
built_in("LSTMCell", 0)(copier("lstm_cell"))
built_in("GRUCell", 0)(copier("gru_cell"))


def shape_of(module: Any) -> Any:
    """The shape that a norm goes over: one number if it is one axis."""
    return single(tuple(module.normalized_shape)) if len(module.normalized_shape) == 1 else module.normalized_shape


def convolution(name: str) -> Callable[[Any], Layer]:
    """A converter of a convolution, whose windows torch keeps as tuples."""

    def build(module: Any) -> Layer:
        names = inspect.signature(CONSTRUCTORS[f"jseq.{name}"]).parameters.keys() & set(WINDOWS)
        return copied(module, name, **{window: single(getattr(module, window)) for window in sorted(names)})

    return build


for n in (1, 2, 3):
    built_in(f"Conv{n}d", n)(convolution(f"conv{n}d"))
    built_in(f"ConvTranspose{n}d", n)(convolution(f"conv_transpose{n}d"))


@built_in("PairwiseDistance", 0)
def pairwise_distance(module: Any) -> Layer:
    return copied(module, "pairwise_distance", p=module.norm)


@built_in("Unflatten", 0)
def unflatten(module: Any) -> Layer:
    if not isinstance(module.dim, int):
        raise ConversionError(f"Unflatten of the named axis {module.dim!r}: give it by its number.")
    return copied(module, "unflatten", unflattened_size=tuple(module.unflattened_size))


def fractional(n: int) -> Callable[[Any], Layer]:
    """A converter of fractional pooling, where torch may hold the samples fixed."""

    def build(module: Any) -> Layer:
        if module._random_samples is not None:
            raise ConversionError("fractional pooling with given _random_samples: jseq's draws them from its key.")
        return copied(module, f"fractional_max_pool{n}d")

    return build


for n in (2, 3):
    built_in(f"FractionalMaxPool{n}d", n)(fractional(n))


def needs_spatial(what: str, layout: int) -> int:
    """The number of spatial axes, where torch would read it off the rank of x."""
    if layout == 0:
        raise ConversionError(f"{what} reads the number of spatial axes off the rank of its input, which is not known "
                              "here. Say it: from_torch(module, spatial_dims=2).")  # fmt: skip
    return layout


@built_in("LocalResponseNorm", by_rank=True)
def local_response_norm(module: Any, layout: int) -> Layer:
    needs_spatial("LocalResponseNorm", layout)
    return copied(module, "local_response_norm")


@built_in("ChannelShuffle", by_rank=True)
def channel_shuffle(module: Any, layout: int) -> Layer:
    needs_spatial("ChannelShuffle", layout)
    return copied(module, "channel_shuffle")


@built_in("GroupNorm", by_rank=True)
def group_norm(module: Any, layout: int) -> Layer:
    return copied(module, "group_norm", spatial_dims=layout)


@built_in("FeatureAlphaDropout", by_rank=True)
def feature_alpha_dropout(module: Any, layout: int) -> Layer:
    return copied(module, "feature_alpha_dropout", spatial_dims=needs_spatial("FeatureAlphaDropout", layout))


MODES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def spatial_of_upsample(module: Any) -> int | None:
    """The number of spatial axes that the arguments of nn.Upsample say."""
    sizes = [v for v in (module.size, module.scale_factor) if isinstance(v, tuple)]
    return MODES.get(module.mode) or (len(sizes[0]) if sizes else None)


@built_in("Upsample", spatial_of_upsample, by_rank=True)
def upsampled(module: Any, layout: int) -> Layer:
    spatial = needs_spatial(f"Upsample(mode={module.mode!r})", layout)
    said = module.mode in MODES or spatial == 2
    return copied(module, "upsample", **({} if said else {"spatial_dims": spatial}))


def moved_axis(dim: int, layout: int) -> int:
    """Where an axis of torch's (N, C, *spatial) stands in (N, *spatial, C); counted from the end but for N."""
    if layout == 0:
        return dim
    rank = layout + 2
    place = dim % rank
    return {0: 0, 1: -1}.get(place, place - 1 - rank)


def along_axis(name: str) -> Callable[[Any, int], Layer]:
    """A converter of a layer with an axis."""

    def build(module: Any, layout: int) -> Layer:
        if module.dim is None and layout == 0:
            raise ConversionError("without dim it takes an axis that depends on the rank of its input (torch warns of "
                                  f"it). Say the axis: nn.{type(module).__name__}(dim=-1).")  # fmt: skip
        dim = (0 if layout == 1 else 1) if module.dim is None else module.dim  # torch's _get_softmax_dim
        return CONSTRUCTORS[f"jseq.{name}"](moved_axis(dim, layout))

    return build


for torch_name, jseq_name in {
    "GLU": "glu",
    "Softmax": "softmax",
    "Softmin": "softmin",
    "LogSoftmax": "log_softmax",
}.items():
    built_in(torch_name)(along_axis(jseq_name))
