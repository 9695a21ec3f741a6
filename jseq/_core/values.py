"""Specs as values: the arguments of a layer, frozen, compared, and written as code or as a tree."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jseq.errors import OptionError, near_misses

# The public homes of functions that specs may name: in repr, in printed trees, and in files.
HOMES = {"jax.nn": jax.nn, "jax.numpy": jnp, "jax.nn.initializers": jax.nn.initializers}


class FrozenMapping(Mapping[str, Any]):
    """A mapping that is a value: ordered, hashable, and equal only in the same order."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[str, Any]]):
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Any:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenMapping) and tuple(self.items()) == tuple(other.items())

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {code(value)}" for name, value in self.items()) + "}"


def freeze(value: Any, argument: str) -> Any:
    """Turns an argument into a value: lists to tuples, dicts to frozen mappings, dtypes to names."""
    if isinstance(value, list | tuple):
        return tuple(freeze(item, argument) for item in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):
        return FrozenMapping((name, freeze(item, argument)) for name, item in value.items())  # pyright: ignore
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    dtype: Any = getattr(value, "dtype", None)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(dtype, np.dtype):
        if callable(value):  # jnp.float32 and its like
            return dtype.name
        raise OptionError(
            f"argument {argument} is an array; specs are values, so arrays belong in params: make them in init."
        )
    try:
        hash(value)
    except TypeError:
        raise OptionError(f"argument {argument}={value!r:.60} cannot be hashed; specs are values.") from None
    return value


def function_home(function: Any) -> str | None:
    """Finds the public name of a function: `jax.nn.relu`, or None if it has none."""
    name = getattr(function, "__name__", None)
    for home, module in HOMES.items():
        if name is not None and getattr(module, name, None) is function:
            return f"{home}.{name}"
    return None


class Public(NamedTuple):
    """Stands in a pickle for a public function of jax: `jax.nn.relu` itself does not pickle."""

    home: str
    name: str


def portable(value: Any) -> Any:
    """Replaces public functions of jax by their names, for pickling."""
    if isinstance(value, tuple):
        return tuple(portable(item) for item in value)  # pyright: ignore
    if isinstance(value, FrozenMapping):
        return FrozenMapping((name, portable(item)) for name, item in value.items())
    home = function_home(value) if callable(value) else None
    return Public(*home.rsplit(".", 1)) if home else value


def resolved(value: Any) -> Any:
    """Undoes `portable`."""
    if isinstance(value, Public):
        return getattr(HOMES[value.home], value.name)
    if isinstance(value, tuple):
        return tuple(resolved(item) for item in value)  # pyright: ignore
    if isinstance(value, FrozenMapping):
        return FrozenMapping((name, resolved(item)) for name, item in value.items())
    return value


def function_name(function: Callable[..., Any]) -> str:
    """Names a function: its public name, its own name, or the place of a lambda."""
    home = function_home(function)
    if home is not None:
        return home
    name = getattr(function, "__qualname__", None)
    if name is None:
        return repr(function)
    if "<" not in name:
        return name
    name = name.rpartition(".")[2].strip("<>")
    source = getattr(function, "__code__", None)
    return f"<{name} at {source.co_filename}:{source.co_firstlineno}>" if source else f"<{name}>"


def constructor_name(constructor: Callable[..., Any]) -> str:
    """Names a constructor as files and repr do: `jseq.linear`, `mypackage.blocks.my_layer`."""
    module = constructor.__module__
    root = module.partition(".")[0]
    return f"{'jseq' if root == 'jseq' else module}.{constructor.__qualname__}"


def code(value: Any) -> str:
    """Writes an argument as code."""
    if isinstance(value, tuple):
        items: tuple[Any, ...] = value
        return "(" + ", ".join(code(item) for item in items) + ("," if len(items) == 1 else "") + ")"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith("jseq."):  # of from_torch
        fields = ", ".join(code(getattr(value, field.name)) for field in dataclasses.fields(value))
        return f"{type(value).__module__}.{type(value).__qualname__}({fields})"
    routine: Any = value
    return function_name(routine) if inspect.isroutine(value) or function_home(value) else repr(value)


def call_code(name: str, signature: inspect.Signature, arguments: Mapping[str, Any]) -> str:
    """Writes the call that rebuilds a layer: required arguments by position, the rest if not default."""
    parts: list[str] = []
    for parameter in signature.parameters.values():
        value = arguments[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts += [code(item) for item in value]
        elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            parts.append(code(value))
        elif value != parameter.default:
            parts.append(f"{parameter.name}={code(value)}")
    return f"{name}({', '.join(parts)})"


def signature_text(constructor: Callable[..., Any]) -> str:
    """The arguments of a constructor as a reader types them, without annotations."""
    signature = inspect.signature(constructor)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def unknown(signature: inspect.Signature, words: Iterable[str]) -> str:
    """Names the keywords that a constructor does not take, which Python leaves out where an argument is missing too."""
    known = signature.parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return ""
    return " ".join(f"got an unexpected keyword argument {word!r}.{near_misses(word, known)}"
                    for word in words if word not in known)  # fmt: skip


def options(
    signature: inspect.Signature, arguments: Mapping[str, Any], skip: Iterable[str] = (), defaults: bool = True
) -> list[str]:
    """Lists `name=value` as torch prints them; keyword-only arguments only where they were set."""
    shown: list[str] = []
    for parameter in signature.parameters.values():
        value = arguments[parameter.name]
        hidden = value == parameter.default and (parameter.kind is parameter.KEYWORD_ONLY or not defaults)
        if parameter.name not in skip and not hidden:
            shown.append(f"{parameter.name}={code(value)}")
    return shown
