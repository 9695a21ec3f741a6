"""Specs as JSON: `to_config` and `from_config`."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from jseq._core import values
from jseq._layers import array_functions, array_shapes
from jseq.core import CONSTRUCTORS, Layer, rebuild
from jseq.errors import CallError, near_misses

COPIES = {"n", "num_layers", "num_encoder_layers", "num_decoder_layers"}
COPIES_LIMIT = 1_000_000
# What `from_torch` makes of steps that no layer does, by name.
ARRAY_FUNCTIONS = {
    name: kind for module in (array_functions, array_shapes) for name, kind in vars(module).items()
    if isinstance(kind, type) and kind.__module__ == module.__name__
}  # fmt: skip
# Functions of jax.numpy that read files or change settings; what a config names computes.
REFUSED = {"load", "save", "savez", "fromfile", "printoptions", "set_printoptions"}


def to_config(model: Layer) -> dict[str, Any]:
    """Writes a model as a dict that `json.dumps` takes; `from_config` reads it back.

    Arguments at their defaults are left out. Functions are written by their public names in jax
    (`jax.nn.relu`); any other function has no name that a file can hold.

    Raises:
        CallError: the model holds a function without a public name, or a value that JSON lacks.

    Example:
        >>> import jseq
        >>> jseq.to_config(jseq.linear(64, 128))
        {'layer': 'jseq.linear', 'arguments': {'in_features': 64, 'out_features': 128}}
    """
    return config_of(model, model.name)


def config_of(model: Layer, where: str) -> dict[str, Any]:
    """Writes one layer, which stands at this place."""
    parameters = model.signature.parameters.values()
    arguments = {
        parameter.name: encode(model.arguments[parameter.name], f"{where}.{parameter.name}")
        for parameter in parameters
        if parameter.default is parameter.empty or model.arguments[parameter.name] != parameter.default
    }
    return {"layer": values.constructor_name(model.constructor), "arguments": arguments}


def encode(value: Any, where: str) -> Any:
    """Writes one argument."""
    if isinstance(value, Layer):
        return config_of(value, where)
    if isinstance(value, tuple):
        return [encode(item, f"{where}[{i}]") for i, item in enumerate(value)]  # pyright: ignore
    if isinstance(value, values.FrozenMapping):
        return {"mapping": {name: encode(item, f"{where}[{name!r}]") for name, item in value.items()}}
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) in ARRAY_FUNCTIONS.values():
        fields = [encode(getattr(value, field.name), f"{where}.{field.name}") for field in dataclasses.fields(value)]
        return {"array_function": type(value).__name__, "values": fields}
    home = values.function_home(value) if callable(value) else None
    if home is None:
        name = values.function_name(value) if callable(value) else repr(value)
        raise CallError(f"{name} (in {where}) has no name that a file can hold. Use a jseq layer such as jseq.relu(), "
                        "a function of jax.nn, or make it a layer of your own with @jseq.layer.")  # fmt: skip
    return {"function": home}


def from_config(config: Mapping[str, Any]) -> Layer:
    """Reads a model that `to_config` wrote.

    Layers of your own are found by name once their module is imported; nothing is imported here.

    Raises:
        CallError: the config is damaged, or names a layer or function that is not known.

    Example:
        >>> import jseq
        >>> jseq.from_config({"layer": "jseq.linear", "arguments": {"in_features": 64, "out_features": 128}})
        jseq.linear(64, 128)
    """
    copies = sum(copies_in(config))
    if copies > COPIES_LIMIT:
        raise CallError(f"the config asks for {copies} copies of layers; it may hold {COPIES_LIMIT}.")
    return layer_of(config)


def copies_in(config: Any) -> Iterator[int]:
    """The numbers in a config that say how many layers to build: the only ones that cost memory before `init`."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            if name in COPIES and isinstance(value, int):
                yield abs(value)
            yield from copies_in(value)
    elif isinstance(config, list):
        for item in config:  # pyright: ignore
            yield from copies_in(item)


def layer_of(config: Any) -> Layer:
    """Reads one layer."""
    if not (isinstance(config, Mapping) and "layer" in config and isinstance(config.get("arguments"), Mapping)):  # pyright: ignore
        raise CallError(f'expected a config {{"layer": ..., "arguments": {{...}}}}, got {config!r:.80}.')
    name, arguments = config["layer"], config["arguments"]
    constructor = CONSTRUCTORS.get(name) if isinstance(name, str) else None
    if constructor is None:
        raise CallError(f"no layer is called {name!r}.{near_misses(str(name), CONSTRUCTORS)} "
                        "If it is a layer of your own, import the module that defines it first.")  # fmt: skip
    return rebuild(constructor, {argument: decode(value) for argument, value in arguments.items()})


def decode(value: Any) -> Any:
    """Reads one argument."""
    if isinstance(value, list):
        return tuple(decode(item) for item in value)  # pyright: ignore
    if not isinstance(value, Mapping):
        return value
    if "layer" in value:
        return layer_of(value)
    if "mapping" in value:
        return {name: decode(item) for name, item in value["mapping"].items()}
    if "float" in value:
        return float(value["float"])  # pyright: ignore
    if "array_function" in value:
        return array_function(value)
    return public_function(str(value.get("function")))  # pyright: ignore


def array_function(config: Mapping[str, Any]) -> Any:
    """Reads a function of arrays, of those that `from_torch` makes."""
    name, fields = config["array_function"], decode(config.get("values"))
    kind: Any = ARRAY_FUNCTIONS.get(name) if isinstance(name, str) else None
    if kind is None or not isinstance(fields, tuple) or len(fields) != len(dataclasses.fields(kind)):  # pyright: ignore
        raise CallError(f"the config names {name!r:.60}, which is no function of arrays with such values.")
    return kind(*fields)


def public_function(home: str) -> Any:
    """Finds a public function of jax by name, in the modules that specs may name."""
    module, _, name = home.rpartition(".")
    function = getattr(values.HOMES.get(module), name, None)
    if not callable(function) or name.startswith("_") or name in REFUSED:
        raise CallError(f"no function is called {home!r:.200}; known are those of {', '.join(values.HOMES)}.")
    return function
