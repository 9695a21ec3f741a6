"""Wrappers: they add nothing to names, so that what they do to values is a hook, and to weights a parametrization."""

from typing import Any

from jseq._combinators import (
    adapt,
    ensemble,
    layout,
    lora,
    packing,
    parametrize,
    paths,
    precision,
    quantized,
    sequence,
    spectral,
    streaming,
    tie,
)
from jseq._interop.entries import entries_of, order_of
from jseq._interop.extras import need
from jseq._interop.layouts import to_first, to_last
from jseq._interop.leaves import Leaf
from jseq._interop.to_torch.classes import Own, made, plain, submodule
from jseq._interop.to_torch.layers import by_name
from jseq._interop.to_torch.layouts import Layout, after, before, entered, left
from jseq._interop.to_torch.registry import (
    Call,
    Parts,
    convert_plain,
    converter,
    inside,
    of_child,
    wanted,
    wrapped,
)
from jseq._interop.to_torch.sequences import timed
from jseq.core import Layer, as_layer
from jseq.errors import ConversionError


class Permute(Own):
    """Puts axes in another order."""

    def forward(self: Any, x: Any) -> Any:
        lead, n = x.ndim - len(self.dims), len(self.dims)
        return x.permute(*range(lead), *(lead + dim % n for dim in self.dims))


@by_name("permute", whole=True, wants=0)
def permute(call: Call) -> Any:
    have = call.spatial_dims
    if have and call.layer == to_first(have):
        return plain("Identity"), 0  # torch has that order already
    return entered(made(Permute, dims=call.options["dims"]), have, 0), 0


def wanted_by_adapted(layer: Layer) -> Layout | None:
    """What the first of the two wants that cares."""
    first = layer.arguments["before"]
    want = None if first is None else wanted(as_layer(first))
    return want if want is not None or first is not None else wanted(wrapped(layer))


@converter(adapt.adapt, wants=wanted_by_adapted, whole=True)
def adapted(call: Call) -> Any:
    """The layer with what stands before and behind it as hooks, unless that only names the axes in torch's order."""
    first, last, have = call.options["before"], call.options["after"], call.spatial_dims
    found = timed(call)
    if found is not None:
        return found
    change: Any = None
    if first is not None:
        first, enters = as_layer(first), wanted(wrapped(call.layer))
        if have == 0 and enters and first == to_last(enters):
            have = enters
        else:
            change, have = convert_plain(first, have)
    module, gives = inside(call, have)
    if change is not None and not does_nothing(change):
        before(module, change)
    if last is None:
        return module, gives
    change, gives = convert_plain(last, gives)
    return module if does_nothing(change) else after(module, change), gives


def does_nothing(module: Any) -> bool:
    """Whether a module is the identity, without hooks."""
    hooks = module._forward_pre_hooks or module._forward_hooks
    return type(module).__name__ == "Identity" and not hooks


@converter(layout.channels_first, wants=0, whole=True)
def channels_first(call: Call) -> Any:
    """torch has the channels first already; nothing is moved."""
    n, have = call.options["spatial_dims"], call.spatial_dims
    module, gives = inside(call, n)
    entered(module, have, 0)
    return (left(module, gives, n), 0) if call.options["output"] == "image" else (module, gives)


@converter(tie.tie, wants=of_child, whole=True)
def tied(call: Call) -> Any:
    """The arrays are put in their places; `to_torch` then makes one parameter of both."""
    shared = paths.get(call.params, call.options["source"])
    shared = shared.swapaxes(-1, -2) if call.options["transpose"] else shared
    return inside(call, call.spatial_dims, paths.insert(call.params, call.options["target"], shared))


def owner_of(module: Any, path: str) -> tuple[Any, str]:
    """The module that holds a parameter, and its name there."""
    owner, _, name = path.rpartition(".")
    try:
        found = submodule(module, owner)
    except KeyError:
        found = None
    if found is None or getattr(found, "_parameters", {}).get(name) is None:
        raise ConversionError(f"torch has no parameter at {path!r}, whose norm could be taken.")
    return found, name


def axis_of(entries: Any, ending: str, layer: Layer, dim: int | None) -> int | None:
    """Where an axis of jseq's weight stands in torch's."""
    leaf: Leaf = next(entry.leaf for entry in entries if entry.name.endswith(ending))
    return None if dim is None else order_of(leaf, layer).index(dim % len(leaf.shape))


@converter(parametrize.weight_norm, wants=of_child, whole=True)
def weight_normed(call: Call) -> Any:
    name, norm = call.options["name"], need("torch.nn.utils.parametrizations", "torch").weight_norm
    v, rest = paths.get(call.params, f"{name}_v"), paths.remove(call.params, f"{name}_g")
    module, gives = inside(call, call.spatial_dims, paths.insert(paths.remove(rest, f"{name}_v"), name, v))
    owner, last = owner_of(module, name)
    entries = entries_of(call.layer, call.params, call.state)
    norm(owner, last, axis_of(entries, f"{prefixed(name)}.original1", call.layer, call.options["dim"]))
    return module, gives


def prefixed(path: str) -> str:
    """Where torch keeps what a parameter is computed from."""
    owner, dot, name = path.rpartition(".")
    return f"{owner}{dot}parametrizations.{name}"


@converter(spectral.spectral_norm, wants=lambda layer: wanted(layer.children["layer"]), whole=True)  # pyright: ignore
def spectrally_normed(call: Call) -> Any:
    options, norm = call.options, need("torch.nn.utils.parametrizations", "torch").spectral_norm
    module, gives = Parts(call).convert("layer", call.spatial_dims)
    owner, last = owner_of(module, options["name"])
    entries = entries_of(call.layer, call.params, call.state)
    axis = axis_of(entries, f"{prefixed(options['name'])}.original", call.layer, options["dim"])
    norm(owner, last, options["n_power_iterations"], options["eps"], axis)
    return module, gives


REFUSED = {
    lora.lora: "Merge the adapters first: model, params = jseq.merge_lora(model, params).",
    parametrize.parametrize: "Put the computed weights in the params of the layer inside.",
    precision.in_dtype: "torch's modules compute in the dtype of their parameters: convert the layer inside, and call "
    "module.to(dtype).",
    packing.packed: "Convert the layer inside, with jseq.unpack(params, like).",
    quantized.quantized: "Convert the model as it was before jseq.quantize.",
    ensemble.over_batch: "Convert the layer inside.",
    sequence.recurrent: "jseq.rnn, jseq.lstm and jseq.gru have torch's loops.",
    streaming.streaming: "A module remembers nothing between calls: convert the layer inside.",
    spectral.power_iteration: "Its weight's layer has: jseq.spectral_norm(layer).",
}


@converter(*REFUSED, whole=True)
def refused(call: Call) -> Any:
    raise ConversionError(f"has no torch module. {REFUSED[call.layer.constructor]}")
