"""Weights that torch computes from others: weight norm and spectral norm, by parametrizations or by the older hooks."""

from collections.abc import Iterator
from typing import Any

from jseq._combinators.parametrize import weight_norm
from jseq._combinators.spectral import spectral_norm
from jseq._interop.moves import ORDERS, TRANSPOSED_CONVOLUTIONS
from jseq.core import Layer
from jseq.errors import ConversionError


def reparametrized(module: Any, layer: Layer) -> Layer:
    """The layer with its weights computed as the module's are."""
    for name, norm in norms(module):
        kind = type(norm).__name__.lstrip("_")
        if kind == "WeightNorm":
            dim = None if norm.dim in (-1, None) else axis_of(layer, norm.dim)
            layer = weight_norm(layer, name, dim)
        elif kind == "SpectralNorm":
            layer = spectral_norm(layer, name, norm.n_power_iterations, norm.eps, axis_of(layer, norm.dim))
        else:
            raise ConversionError(f"{kind} of {name!r} in {type(module).__name__} has no equivalent here. Remove it "
                                  f"first: torch.nn.utils.parametrize.remove_parametrizations(module, {name!r}), or "
                                  "the module's hooks.")  # fmt: skip
    return layer


def norms(module: Any) -> Iterator[tuple[str, Any]]:
    """The parametrizations and hooks of a module: the weight's name, and what computes it."""
    for name, chain in getattr(module, "parametrizations", {}).items():
        for one in chain:
            yield name, one
    for hook in module._forward_pre_hooks.values():
        yield getattr(hook, "name", ""), hook
    for hook in module._forward_hooks.values():
        yield "", hook


def axis_of(layer: Layer, dim: int) -> int:
    """Where the axis `dim` of torch's weight is in jseq's."""
    while layer.wraps:
        layer = layer.children["layer"]  # pyright: ignore[reportCallIssue, reportArgumentType]
    spatial = TRANSPOSED_CONVOLUTIONS.get(layer.name)
    if spatial is not None and layer.arguments["groups"] != 1:
        raise ConversionError(f"a norm of the weight of {layer.brief}: torch folds the groups into another axis.")
    order = ORDERS.get(layer.name, ()) if spatial is None else (spatial, spatial + 1, *range(spatial))
    return order[dim] - len(order) if order else dim
