"""Plain functions of jax as torch modules."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq._interop.extras import need
from jseq._interop.to_torch.classes import Own, made, plain
from jseq._interop.to_torch.layouts import axis_in, left
from jseq._interop.to_torch.registry import Call, convert_plain, converter

# jax.nn's functions, with their defaults, and torch.nn's modules.
MODULES = {
    "celu": "CELU",
    "elu": "ELU",
    "hard_sigmoid": "Hardsigmoid",
    "hard_silu": "Hardswish",
    "hard_swish": "Hardswish",
    "hard_tanh": "Hardtanh",
    "identity": "Identity",
    "leaky_relu": "LeakyReLU",
    "log_sigmoid": "LogSigmoid",
    "mish": "Mish",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "selu": "SELU",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "soft_sign": "Softsign",
    "swish": "SiLU",
    "tanh": "Tanh",
}
# Functions of jax.numpy that torch has under the same name.
SAME = """abs arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh exp exp2 expm1 floor log log10 log1p log2
negative positive reciprocal sign sin sinh sqrt square tanh""".split()  # noqa: SIM905


class Elementwise(Own):
    """A function of torch, element by element."""

    def forward(self: Any, x: Any) -> Any:
        return getattr(need("torch", "torch"), self.function)(x)


def of_module(name: str, **arguments: Any) -> Any:
    return lambda call: plain(name, **arguments)  # pyright: ignore[reportUnknownLambdaType]


def of_function(name: str) -> Any:
    return lambda call: made(Elementwise, function=name)  # pyright: ignore[reportUnknownLambdaType]


for jax_name in SAME:
    converter(getattr(jnp, jax_name))(of_function(jax_name))
for jax_name, torch_name in MODULES.items():
    if hasattr(jax.nn, jax_name):
        converter(getattr(jax.nn, jax_name))(of_module(torch_name))
converter(jnp.tanh)(of_module("Tanh"))
converter(jax.nn.gelu)(of_module("GELU", approximate="tanh"))  # jax's default is the approximation
converter(jax.nn.softplus)(of_module("Softplus", threshold=40.0))  # jax has none: e^-40 is lost in any float


@converter(jax.nn.softmax)
def softmax(call: Call) -> Any:
    return plain("Softmax", dim=axis_in(-1, call.spatial_dims))


@converter(jax.nn.log_softmax)
def log_softmax(call: Call) -> Any:
    return plain("LogSoftmax", dim=axis_in(-1, call.spatial_dims))


@converter(jax.nn.glu)
def glu(call: Call) -> Any:
    return plain("GLU", dim=axis_in(-1, call.spatial_dims))


def function_module(function: Any, layout: int = 0) -> Any:
    """The module of a function of one array, or of a layer without arrays, on arrays of this layout."""
    module, gives = convert_plain(function, layout)
    return left(module, gives, layout)
