"""Which jseq layer stands for which torch module: one registry, for the built-in converters and for those of users."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jseq._interop.extras import need
from jseq._interop.layouts import Axes
from jseq.core import Layer
from jseq.errors import ConversionError, near_misses


@dataclass(frozen=True)
class Converter:
    """How modules of one class are converted.

    Attributes:
        build: makes the layer: `(module)`, or `(module, spatial_dims)` if the layer depends on the layout.
        wants: the layout of the input: 0 for torch's own order of axes, n for channels-last images of n spatial
            axes, None for any. Or a function of the module that says so.
        by_rank: whether the channels are axis 1 of an input of any rank, so that the rank must be known.
        gives: the layout of the output; None for that of the input.
    """

    build: Callable[..., Layer]
    wants: int | Callable[[Any], int | None] | None = None
    gives: int | None = None
    by_rank: bool = False

    def wanted(self, module: Any) -> int | None:
        """The layout that this module takes, None for any."""
        return self.wants(module) if callable(self.wants) else self.wants

    def takes(self, module: Any, axes: Axes) -> Axes:
        """The axes that this module takes when it is given these."""
        wanted = self.wanted(module)
        if wanted is None and self.by_rank and not axes.layout and getattr(module, "num_parameters", 2) > 1:
            if axes.rank is None and not axes.given:
                raise ConversionError("its channels are axis 1, and the number of axes of its input is not known here. "
                                      "Say it just before: x.flatten(1) has 2, x.permute(0, 2, 1) has 3, and so has a "
                                      "view to 3 sizes.")  # fmt: skip
            wanted = None if axes.rank is None else max(axes.rank - 2, 0)
        return axes if wanted is None else axes.moved(wanted)

    def layer(self, module: Any, layout: int) -> Layer:
        """The layer for this module in this layout."""
        takes_layout = len(inspect.signature(self.build).parameters) > 1
        return self.build(module, layout) if takes_layout else self.build(module)


CUSTOM: dict[type, Converter] = {}  # of users, by class
BUILT_IN: dict[str, Converter] = {}  # of torch.nn, by name: torch is not imported to fill this


def torch_converter(
    module_class: type, *, spatial_dims: int | None = 0, output_dims: int | None = None
) -> Callable[[Callable[..., Layer]], Callable[..., Layer]]:
    """Registers how modules of a class become jseq layers: a decorator for a function `(module) -> layer`.

    The layer's params and state are then filled from the module's state dict: the same names, with the axes that
    each jseq layer has (`jseq.load_torch_state_dict`); those of layers of your own are taken as they are.

    Args:
        module_class: the class of torch modules, a subclass of `torch.nn.Module`.
        spatial_dims: what the layer takes: 0 for an array in torch's own order of axes; n for channels-last images
            `(N, *spatial, C)` of n spatial axes, where torch has `(N, C, *spatial)`; None for any of them, as
            an element-wise layer does. The function may take it as a second argument `(module, spatial_dims)`.
        output_dims: the same for what the layer gives; None for what it takes.

    Returns:
        The decorator, which returns the function as it is.

    Raises:
        ConversionError: module_class is no class.

    Example (torch is needed only by `from_torch`):
        >>> import jseq
        >>> class Swish:  # in earnest a torch.nn.Module
        ...     beta = 1.0
        >>> @jseq.torch_converter(Swish, spatial_dims=None)
        ... def swish(module):
        ...     return jseq.silu()
    """
    if not isinstance(module_class, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConversionError(f"torch_converter takes a class of torch modules, got {module_class!r:.60}. "
                              "The call that works: @jseq.torch_converter(MyModule, spatial_dims=0).")  # fmt: skip

    def register(build: Callable[..., Layer]) -> Callable[..., Layer]:
        CUSTOM[module_class] = Converter(build, spatial_dims, output_dims)
        return build

    return register


def built_in(names: str, wants: Any = None, gives: int | None = None, by_rank: bool = False) -> Callable[[Any], Any]:
    """Registers a converter of torch.nn's own classes."""

    def register(build: Callable[..., Layer]) -> Callable[..., Layer]:
        BUILT_IN.update(dict.fromkeys(names.split(), Converter(build, wants, gives, by_rank)))
        return build

    return register


def class_of(module: Any) -> type:
    """The class of a module, looking through torch's parametrizations."""
    parametrize = need("torch.nn.utils.parametrize", "torch")
    return parametrize.type_before_parametrizations(module)


def converter_of(module: Any) -> Converter | None:
    """The converter of a module: its class's own, or that of the torch.nn class whose forward it has."""
    nn = need("torch.nn", "torch")
    own = class_of(module)
    if own in CUSTOM:
        return CUSTOM[own]
    for base in own.__mro__:
        if getattr(nn, base.__name__, None) is base:
            found = BUILT_IN.get(base.__name__)
            if found is not None and getattr(own, "features_last", False):  # of to_torch
                return replace(found, wants=0)
            return found if own.forward is base.forward else None  # pyright: ignore[reportAttributeAccessIssue]
    return None


def is_chain(module: Any) -> bool:
    """Whether this is an nn.Sequential, or a subclass that calls its children likewise."""
    nn = need("torch.nn", "torch")
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward  # pyright: ignore


def refuse(module: Any) -> ConversionError:
    """The error for a module that nothing converts."""
    own = class_of(module)
    home = getattr(own, "__module__", "")
    return ConversionError(
        f"no jseq layer is known for {home}.{own.__qualname__}.{near_misses(own.__name__, BUILT_IN)} "
        f"Register one: @jseq.torch_converter({own.__name__}) on a function that takes the module and returns a layer."
    )
