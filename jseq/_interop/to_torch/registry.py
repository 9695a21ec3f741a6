"""Which torch module stands for which layer: the table of converters, and the walk through a model."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jseq._combinators import paths
from jseq._combinators.children import Child, Children
from jseq._core.checks import by_path
from jseq._interop.extras import need
from jseq._interop.targets import check_targets, registered
from jseq._interop.to_torch.layouts import Layout, entered, left
from jseq.core import Layer, as_layer
from jseq.errors import ConversionError, LayerError

FEATURES = "features"  # what a layer wants that works on the last axis and keeps the others


@dataclass(frozen=True)
class Call:
    """A layer that is to be built.

    Attributes:
        layer: the layer.
        params, state: its arrays.
        spatial_dims: the layout that x comes in: 0 for jseq's own order of axes, n for (N, C, *spatial).
    """

    layer: Layer
    params: Any
    state: Any
    spatial_dims: Layout = 0

    @property
    def options(self) -> Mapping[str, Any]:
        """The arguments of the layer's constructor."""
        return self.layer.arguments

    def size(self, path: str, axis: int) -> int:
        """The size of an axis of one of the arrays: what a layer that infers it has found."""
        arrays = by_path(self.params) | by_path(() if self.state is None else self.state)
        if path not in arrays:
            raise ConversionError("its size was inferred, and no array holds it. Declare the size.", self.layer.brief)
        return int(arrays[path].shape[axis])


@dataclass(frozen=True)
class Converter:
    """How one kind of layers is built.

    Attributes:
        build: `(call)` returns the module; of a combinator, the module and the layout of its output.
        wants: the layout of the input: 0 or n; "features"; None for any. Or a function of the layer that says so.
        gives: the layout of the output; None for that of the input.
        whole: whether `build` sees to the layouts itself.
        own: whether it is the user's.
    """

    build: Callable[[Call], Any]
    wants: Any = None
    gives: int | None = None
    whole: bool = False
    own: bool = False


CONVERTERS: dict[Any, Converter] = {}  # by constructor, or by lifted function


def to_torch_converter(
    *targets: Any, spatial_dims: int | None = 0, output_dims: int | None = None
) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    """Registers how a layer or a plain function becomes a torch module in `to_torch`.

    The decorated function takes `call` and returns an `nn.Module`. `call.options` are the constructor's arguments,
    `call.params` and `call.state` the layer's arrays, whose values are filled in afterwards: the module's state dict
    has the names and shapes that `jseq.torch_state_dict` gives for the layer.

    Args:
        targets: layer constructors of your own, or functions of one array that stand in a model as they are.
        spatial_dims: what the module takes: 0 for jseq's order of axes; n for images `(N, C, *spatial)` of n
            spatial axes, where the layer has `(N, *spatial, C)`; None for any of them, as an element-wise layer
            does (`call.spatial_dims` says which).
        output_dims: the same for what the module gives; None for what it takes.

    Returns:
        The decorator, which returns the function as it is.

    Raises:
        ConversionError: a target is neither.

    Example (torch is needed only by `to_torch`):
        >>> import jax.numpy as jnp, jseq
        >>> def double(x):
        ...     return x + x
        >>> @jseq.to_torch_converter(double, spatial_dims=None)
        ... def build_double(call):
        ...     from torch import nn
        ...     class Double(nn.Module):
        ...         def forward(self, x):
        ...             return x + x
        ...     return Double()
    """
    check_targets(targets, "to_torch_converter", ConversionError)

    def register(build: Callable[[Call], Any]) -> Callable[[Call], Any]:
        CONVERTERS.update(dict.fromkeys(targets, Converter(build, spatial_dims, output_dims, own=True)))
        return build

    return register


def converter(*targets: Any, wants: Any = None, gives: int | None = None, whole: bool = False) -> Callable[[Any], Any]:
    """Registers a converter of jseq's own layers."""

    def register(build: Callable[[Call], Any]) -> Callable[[Call], Any]:
        CONVERTERS.update(dict.fromkeys(targets, Converter(build, wants, gives, whole)))
        return build

    return register


def converter_of(layer: Layer) -> Converter:
    """The converter of a layer; an error that says how to register one."""
    return registered(CONVERTERS, layer, "to_torch_converter", "no torch module is known for",
                      "on a function (call) that returns a module.", ConversionError)  # fmt: skip


def wanted(layer: Layer) -> Layout | None:
    """The layout that a layer takes; None if it does not care."""
    try:
        wants = converter_of(layer).wants
    except ConversionError:
        return None  # the conversion raises it again, and knows the place
    wants = wants(layer) if callable(wants) else wants
    return None if wants == FEATURES else wants


def of_child(layer: Layer) -> Layout | None:
    """The layout that the one layer inside a wrapper takes."""
    return wanted(wrapped(layer))


def convert(layer: Layer, params: Any, state: Any, have: Layout, name: str = "") -> tuple[Any, Layout]:
    """The module for a layer whose input has this layout, and the layout of its output."""
    try:
        found = converter_of(layer)
        if found.whole:
            return found.build(Call(layer, params, state, have))
        wants = found.wants(layer) if callable(found.wants) else found.wants
        own: Layout = have if wants is None else 0 if wants == FEATURES else wants
        module = entered(built(found, Call(layer, params, state, own)), have, own)
        if wants == FEATURES:
            return left(module, 0, have), have
        return module, own if found.gives is None else found.gives
    except LayerError as error:
        error.name(layer.brief)
        if name:
            error.enter(name)
        raise


def convert_plain(function: Any, have: Layout) -> tuple[Any, Layout]:
    """The module of a function of one array, or of a layer without arrays, and the layout of its output."""
    layer = as_layer(function)
    return convert(layer, paths.declared(layer), None, have)


def built(found: Converter, call: Call) -> Any:
    """The module; one of the user's is built with its numbers, which may not all stand in the state dict."""
    if not found.own:
        return found.build(call)
    with need("torch", "torch").device("cpu"):
        module = found.build(call)
    nn = need("torch.nn", "torch")
    if not isinstance(module, nn.Module):
        raise ConversionError(f"its converter must return a torch.nn.Module, got {type(module).__name__}.")
    return module


class Parts:
    """The children of a combinator by name, each with its params and state."""

    def __init__(self, call: Call):
        state = call.state if call.layer.keeps_state else None
        trees = Children(call.layer.children).zip(call.params, state)
        self.parts: dict[str, tuple[Child, Any, Any]] = {child.name: (child, p, s) for child, p, s in trees}

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __contains__(self, name: str) -> bool:
        return name in self.parts

    def call(self, name: str) -> Call:
        """One child with its params and state."""
        child, params, state = self.parts[name]
        return Call(child.layer, params, state)

    def convert(self, name: str, have: Layout) -> tuple[Any, Layout]:
        """The module of one child, and the layout of its output."""
        child, params, state = self.parts[name]
        return convert(child.layer, params, state, have, name)


def wrapped(layer: Layer) -> Layer:
    """The one layer inside a wrapper."""
    return next(iter(layer.children.values()))  # pyright: ignore[reportAttributeAccessIssue]


def inside(call: Call, have: Layout, params: Any = None) -> tuple[Any, Layout]:
    """The module of the one layer inside a wrapper."""
    return convert(wrapped(call.layer), call.params if params is None else params, call.state, have)
