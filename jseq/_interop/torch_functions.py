"""Functions and methods of torch in a traced forward: most are a module of torch.nn with the same arguments."""

from typing import Any

from jseq._interop.extras import need
from jseq.errors import ConversionError

# function: the module it is, and the names of its arguments after the tensor.
TABLE = """
relu ReLU inplace
relu_ ReLU
relu6 ReLU6 inplace
leaky_relu LeakyReLU negative_slope inplace
elu ELU alpha inplace
celu CELU alpha inplace
selu SELU inplace
gelu GELU approximate
silu SiLU inplace
mish Mish inplace
sigmoid Sigmoid
sigmoid_ Sigmoid
tanh Tanh
tanh_ Tanh
hardtanh Hardtanh min_val max_val inplace
hardswish Hardswish inplace
hardsigmoid Hardsigmoid inplace
hardshrink Hardshrink lambd
softshrink Softshrink lambd
softplus Softplus beta threshold
softsign Softsign
tanhshrink Tanhshrink
logsigmoid LogSigmoid
threshold Threshold threshold value inplace
glu GLU dim
softmax Softmax dim _stacklevel dtype
log_softmax LogSoftmax dim _stacklevel dtype
softmin Softmin dim _stacklevel dtype
dropout Dropout p training inplace
dropout1d Dropout1d p training inplace
dropout2d Dropout2d p training inplace
dropout3d Dropout3d p training inplace
alpha_dropout AlphaDropout p training inplace
max_pool1d MaxPool1d kernel_size stride padding dilation ceil_mode return_indices
max_pool2d MaxPool2d kernel_size stride padding dilation ceil_mode return_indices
max_pool3d MaxPool3d kernel_size stride padding dilation ceil_mode return_indices
avg_pool1d AvgPool1d kernel_size stride padding ceil_mode count_include_pad
avg_pool2d AvgPool2d kernel_size stride padding ceil_mode count_include_pad divisor_override
avg_pool3d AvgPool3d kernel_size stride padding ceil_mode count_include_pad divisor_override
adaptive_avg_pool1d AdaptiveAvgPool1d output_size
adaptive_avg_pool2d AdaptiveAvgPool2d output_size
adaptive_avg_pool3d AdaptiveAvgPool3d output_size
adaptive_max_pool1d AdaptiveMaxPool1d output_size return_indices
adaptive_max_pool2d AdaptiveMaxPool2d output_size return_indices
adaptive_max_pool3d AdaptiveMaxPool3d output_size return_indices
interpolate Upsample size scale_factor mode align_corners recompute_scale_factor
pixel_shuffle PixelShuffle upscale_factor
pixel_unshuffle PixelUnshuffle downscale_factor
channel_shuffle ChannelShuffle groups
flatten Flatten start_dim end_dim
unflatten Unflatten dim unflattened_size
contiguous Identity memory_format
clone Identity memory_format
"""
ROWS = (row.split() for row in TABLE.split("\n") if row)
MODULES = {name: (module, list(names)) for name, module, *names in ROWS}
DEFAULTS: dict[str, dict[str, Any]] = {"flatten": {"start_dim": 0}}  # where the function's are not the module's
SIZED = {"interpolate": "size"} | {f"{kind}_pool{n}d": "kernel_size" for kind in ("max", "avg") for n in (1, 2, 3)}
IGNORED = {"inplace", "_stacklevel", "memory_format", "training"}
PADS = {"constant": "ConstantPad", "reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}


def function_name(node: Any) -> str:
    """The name of the function or method that a node calls."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def is_call(value: Any) -> bool:
    """Whether this is a step that calls a function or a method, and no module."""
    return hasattr(value, "op") and value.op in ("call_function", "call_method")


def as_module(node: Any, layout: int | None) -> Any:
    """The module that a call of a function is; None if it is none."""
    nn, name = need("torch.nn", "torch"), function_name(node)
    if name == "pad":
        return as_padding(nn, node, layout) if "Node" not in type_names(padding_of(node)["pad"]) else None
    if name not in MODULES:
        return None
    module, names = MODULES[name]
    given = DEFAULTS.get(name, {}) | dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    given.pop("input", None)
    if not mode_is_followed(node, given):
        module, given = "Identity", {}
    if given.get("antialias") is False:  # fx records that interpolate was not told to
        del given["antialias"]
    sizes = [key for key, value in given.items() if "Node" in type_names(value)]
    if sizes and sizes[0] == SIZED.get(name):
        return None
    if sizes:
        raise ConversionError(f"{sizes[0]}={given[sizes[0]]} of {name} is read off an array. Give it as numbers.")
    if given.pop("dtype", None) is not None:
        raise ConversionError("dtype= is not converted: a layer computes in the dtype of its input.")
    unknown = given.keys() - names
    if unknown or len(node.args) - 1 > len(names):
        raise ConversionError(f"arguments {sorted(unknown) or node.args[1:]} are not converted.")
    return getattr(nn, module)(**{key: value for key, value in given.items() if key not in IGNORED})


def type_names(value: Any) -> set[str]:
    """The classes of an argument, or of what it holds."""
    parts: Any = value if isinstance(value, tuple | list) else (value,)
    return {type(part).__name__ for part in parts}


def mode_is_followed(node: Any, given: dict[str, Any]) -> bool:
    """Whether a dropout is one: `training=self.training`; False if it never drops."""
    names = MODULES[function_name(node)][1]
    if "training" not in names:
        return True
    elsewhere = dict(zip(names, node.meta["evaluation"].args[1:], strict=False)) | dict(node.meta["evaluation"].kwargs)
    training, evaluation = given.get("training", True), elsewhere.get("training", True)
    if evaluation:
        raise ConversionError("it drops in evaluation too. A layer does not: call it with training=self.training.")
    return bool(training)


def padding_of(node: Any) -> dict[str, Any]:
    """The arguments of `torch.nn.functional.pad`."""
    return dict(zip(("pad", "mode", "value"), node.args[1:], strict=False)) | dict(node.kwargs)


def as_padding(nn: Any, node: Any, layout: int | None) -> Any:
    """The module of `torch.nn.functional.pad`, whose numbers begin at the last axis."""
    given = padding_of(node)
    pads, mode, value = given["pad"], given.get("mode", "constant"), given.get("value")
    spatial = max(len(pads) // 2, layout or 0)
    pads = (*pads, *[0] * (2 * spatial - len(pads)))
    if spatial > 3 or mode not in PADS:
        raise ConversionError(f"padding {pads} with mode {mode!r} is not converted.")
    module = getattr(nn, f"{PADS[mode]}{spatial}d")
    return module(pads, 0.0 if value is None else value) if mode == "constant" else module(pads)
