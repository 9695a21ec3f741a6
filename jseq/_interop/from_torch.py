"""A torch module as a jseq model: the layers by converters, the arrays by the state dict."""

import importlib
from typing import Any

import numpy as np

from jseq._combinators.sequential import sequential
from jseq._combinators.tie import tie
from jseq._core.checks import by_path
from jseq._interop.extras import need
from jseq._interop.layouts import Axes, bordered, fitted
from jseq._interop.torch_axes import axes_after
from jseq._interop.torch_registry import class_of, converter_of, is_chain, refuse
from jseq._interop.torch_reparametrized import reparametrized
from jseq._interop.weights import load_torch_state_dict
from jseq.core import Layer
from jseq.errors import ConversionError, LayerError, near_misses

LAYOUTS = ("torch", "channels_last")
FAMILIES = ("torch_layers", "torch_sequences")  # these fill the registry; the first call imports them


def from_torch(module: Any, *, layout: str = "torch", spatial_dims: int | None = None) -> tuple[Layer, Any, Any]:
    """Converts a torch module with its weights: `model, params, state = from_torch(module)`.

    The model is a drop-in: `with_state(model).apply(params, state, x)` is `module(x)` for the same array, in
    evaluation (the default, whatever mode the module is in) and with `train=True`. Inside, images run channels-last:
    axes are moved at the borders of the model and where a flattening fixes an order. Names are torch's:
    `"0.weight"` is `params[0]["weight"]`, `"fc1.bias"` is `params["fc1"]["bias"]`.

    An `nn.Sequential`, nested and named or not, becomes a `sequential`; a module of torch.nn its layer; any other
    module is traced by `torch.fx` and becomes a `sequential`, or a `graph` where its forward branches.

    Args:
        module: a `torch.nn.Module`.
        layout: "torch" takes and gives arrays as torch does, `(N, C, H, W)`; "channels_last" `(N, H, W, C)`.
        spatial_dims: number of spatial axes of the input, where the modules do not say: 1 for `(N, C, L)` into
            `nn.BatchNorm1d`, 2 for `(N, C, H, W)` into `nn.GroupNorm`; None reads it off the first module that does.

    Returns:
        The model, its params and its state, as copies: the module can be changed or thrown away.

    Raises:
        ConversionError: a module that has no equivalent (with its path, its class, and how to register it), or a
            step of a traced forward that layers cannot express (with its name and source line).
        ImportError: torch is not installed.

    Attention gives its output without the weights, as torch does with `need_weights=False`, and masks are True where
    a query may look. Recurrent modules take batches. Random numbers are JAX's: dropout masks are not torch's. The
    older `torch.nn.utils.spectral_norm` iterates v before u, jseq u before v: in training they agree in the limit.

    Example (with torch installed):

    ```py
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    model, params, state = jseq.from_torch(module)
    y = model.apply(params, jnp.ones((1, 3, 3, 3)))
    ```
    """
    nn = need("torch.nn", "torch")
    if not isinstance(module, nn.Module):
        raise ConversionError(f"expected a torch.nn.Module, got {type(module).__name__} {module!r:.60}. "
                              "For a state dict: jseq.load_torch_state_dict(model, state_dict).")  # fmt: skip
    if layout not in LAYOUTS:
        raise ConversionError(f'expected layout to be "torch" or "channels_last", got {layout!r}.'
                              f"{near_misses(str(layout), LAYOUTS)}")  # fmt: skip
    for family in FAMILIES:
        importlib.import_module(f"jseq._interop.{family}")
    from jseq._interop.torch_nodes import traced_once

    with traced_once():
        enters = first_wanted(module) if spatial_dims is None else spatial_dims
        model, leaves = converted(module, Axes(enters or 0, None, given=True))
    model = tied(model, module)
    if layout == "torch":
        model = bordered(model, enters or 0, leaves.layout)
    params, state = load_torch_state_dict(model, module.state_dict())
    return model, params, state


def first_wanted(module: Any) -> int | None:
    """The layout that the first module which cares for it takes; None if none does."""
    converter = converter_of(module)
    if converter is not None:
        return converter.wanted(module)
    if is_chain(module):
        return next((wanted for child in module if (wanted := first_wanted(child)) is not None), None)
    from jseq._interop.torch_trace import wanted_by_trace

    try:
        return wanted_by_trace(module, first_wanted)
    except ConversionError:
        return None  # the conversion raises it again, and knows the place


def converted(module: Any, axes: Axes, path: str = "") -> tuple[Layer, Axes]:
    """The layer for a module whose input has these axes, and the axes of its output."""
    try:
        converter = converter_of(module)
        if converter is not None:
            own = converter.takes(module, axes)
            layer = reparametrized(module, converter.layer(module, own.layout))
            return fitted(layer, axes.layout, own.layout), axes_after(module, converter, own)
        reparametrized(module, sequential())  # refuses hooks and norms of a container's own
        if is_chain(module):
            return chain(module, axes, path)
        if type(module).__module__.startswith("torch.nn."):
            raise refuse(module)
        from jseq._interop.torch_trace import traced

        return traced(module, axes, converted, path)
    except LayerError as error:
        place = f' at "{path}"' if path else ""
        error.name(f"{class_of(module).__name__}{place}")
        raise


def chain(module: Any, axes: Axes, path: str) -> tuple[Layer, Axes]:
    """A sequential for an nn.Sequential."""
    layers: dict[str, Layer] = {}
    for name, child in module._modules.items():
        layers[name], axes = converted(child, axes, f"{path}.{name}" if path else name)
    if list(layers) == [str(i) for i in range(len(layers))]:
        return sequential(*layers.values()), axes
    return sequential(layers), axes


def tied(model: Layer, module: Any) -> Layer:
    """The model with each parameter that torch holds under several names tied to the first of them."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for name, buffer in module.named_buffers(remove_duplicate=False):
        names.setdefault(id(buffer), []).append(name)
    shared = [group for group in names.values() if len(group) > 1]
    buffers = {name for name, _ in module.named_buffers(remove_duplicate=False)}
    for source, *targets in shared:
        if source in buffers:
            raise ConversionError(f"{source!r} is a buffer that {', '.join(map(repr, targets))} share; state is not "
                                  "tied. Use the module twice in a forward of its own instead.")  # fmt: skip
    if not shared:
        return model
    # Which way round an array stands in jseq shows where its numbers come to lie.
    entries = module.state_dict().items()
    probe = {name: (np.arange(v.numel()) % 1021).reshape(v.shape).astype(np.float32) for name, v in entries}
    places = by_path(load_torch_state_dict(model, probe)[0])
    for source, *targets in shared:
        for target in targets:
            ends = [name if name in places else f"{name}.weight" for name in (source, target)]  # a `parameter` has one
            for name in ends:
                if name not in places:
                    raise ConversionError(f"{name!r} is shared, and computed by a norm; tied norms are not supported.")
            a, b = (places[name] for name in ends)
            model = tie(model, *ends, transpose=a.shape != b.shape or bool((a != b).any()))
    return model
