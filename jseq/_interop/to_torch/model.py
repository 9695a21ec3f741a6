"""`to_torch`: a model and its params as a torch module."""

import importlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq._interop.entries import entries_of
from jseq._interop.extras import need
from jseq._interop.leaves import Entry
from jseq._interop.to_torch.classes import submodule
from jseq._interop.to_torch.registry import CONVERTERS, convert, wanted
from jseq._interop.weights import check_trees, torch_state_dict
from jseq.core import Layer
from jseq.errors import ConversionError, LayerError

# What registers converters, imported by the first `to_torch`: `import jseq` stays quick.
FAMILIES = ("layers", "functions", "beyond", "rotation", "combinators", "sequences", "wrappers")


def load_families() -> None:
    """Registers the converters of jseq's own layers; those of the user's stay."""
    registered = dict(CONVERTERS)
    for family in FAMILIES:
        importlib.import_module(f"jseq._interop.to_torch.{family}")
    CONVERTERS.update(registered)


def to_torch(model: Layer, params: Any, state: Any = None, *, spatial_dims: int | None = None) -> Any:
    """Builds the torch module that a model equals, with its params and state in it.

    The way back from `from_torch`, and the way to torch of models written in jseq. `module.state_dict()` has the
    names and the numbers of `torch_state_dict(model, params, state)`. The module takes and gives arrays as torch has
    them: where x is an image `(N, *spatial, C)` to the first layer that cares, the module takes `(N, C, *spatial)`;
    an image that comes out is `(N, C, *spatial)` too. Axes are moved inside only where a layer needs another order.

    A `sequential` becomes an `nn.Sequential` with the same names, the layers of torch.nn the modules they are named
    for, other layers and combinators small modules with a forward of a few lines; `jax.nn`'s functions become modules.
    `adapt`, `channels_first` and other wrappers add nothing to names: where they move axes, the module has hooks.

    Args:
        model: any layer.
        params, state: its trees; without state for a model that keeps none.
        spatial_dims: number of spatial axes of x, where the layers do not say: 2 for an image into `batch_norm`, 0
            for an array in jseq's order. None reads it off the first layer that does.

    Returns:
        A `torch.nn.Module` in evaluation mode, with copies of the arrays, of their dtypes. Several inputs (a tuple in
        jseq) are given one by one or as a tuple.

    Raises:
        ConversionError: a layer or a plain function that has no torch module, with its place and how to register one
            (`to_torch_converter`).
        ParamsError: params or state of another model.
        ImportError: torch is not installed.

    Side inputs are not converted: masks are arguments of the modules that are torch's own, with torch's meaning.
    Attention gives its output without the weights, recurrent modules what the layer gives. `freeze` becomes
    `requires_grad=False`, `remat` nothing. Random numbers are torch's.

    Example (with torch installed):

    ```py
    model = jseq.sequential(jseq.conv2d(3, 8, 3), jseq.relu(), jseq.global_avg_pool2d(), jseq.linear(8, 2))
    params = model.init(jax.random.key(0))
    module = jseq.to_torch(model, params)
    y = module(torch.ones(1, 3, 32, 32))
    ```
    """
    torch = need("torch", "torch")
    state = () if state is None else state
    check_trees(model, params, state, "to_torch(model, params, state)")
    if spatial_dims not in (None, 0, 1, 2, 3):
        raise ConversionError(f"expected spatial_dims to be 0, 1, 2, 3 or None, got {spatial_dims!r}.")
    arrays = torch_state_dict(model, params, state)
    load_families()
    try:
        enters = (wanted(model) or 0) if spatial_dims is None else spatial_dims
        with torch.device("meta"):  # nothing is drawn, nothing is allocated
            module, _ = convert(model, params, state, enters)
        fill(module, {name: tensor(array) for name, array in arrays.items()})
        share(module, entries_of(model, params, state))
    except LayerError as error:
        error.name(model.brief)
        raise
    return module.eval()


def tensor(array: np.ndarray) -> Any:
    """A torch tensor on the memory of an array, which is a copy already; integers have torch's 64 bits."""
    torch = need("torch", "torch")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return torch.from_numpy(array if array.dtype == np.bool_ else array.astype(np.int64))
    name = array.dtype.name
    if name != "bfloat16" and not name.startswith("float8"):
        return torch.from_numpy(array)
    bits = np.int16 if name == "bfloat16" else np.uint8  # from_numpy knows no bfloat16 and no float8
    return torch.from_numpy(array.view(bits)).view(getattr(torch, name))


def fill(module: Any, tensors: dict[str, Any]) -> None:
    """Gives the module its numbers; refuses one whose names or shapes are others."""
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    rows = [f"{name!r} {tuple(t.shape)} is missing" for name, t in tensors.items() if name not in own]
    rows += [f"{name!r} {shape} is unexpected" for name, shape in own.items() if name not in tensors]
    rows += [f"{name!r} is {own[name]} instead of {tuple(t.shape)}" for name, t in tensors.items()
             if own.get(name, tuple(t.shape)) != tuple(t.shape)]  # fmt: skip
    if rows:
        raise ConversionError("the modules do not have the names and shapes of jseq.torch_state_dict: "
                              f"{', '.join(rows[:8])}. A converter of your own has to give them.")  # fmt: skip
    module.load_state_dict(tensors, strict=True, assign=True)


def share(module: Any, entries: list[Entry]) -> None:
    """Makes one parameter of the names that `tie` gives one leaf."""
    groups: dict[Any, list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.leaf.tree, entry.leaf.index, entry.leaf.copy), []).append(entry)
    for source, *targets in (group for group in groups.values() if len(group) > 1):
        for target in targets:
            if not same_axes(source, target):
                raise ConversionError(f"{target.name!r} is {source.name!r} with its axes exchanged, in torch too; one "
                                      "torch parameter cannot be both.")  # fmt: skip
            owner, _, name = target.name.rpartition(".")
            setattr(submodule(module, owner), name, parameter_at(module, source.name))


def parameter_at(module: Any, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return submodule(module, owner)._parameters[name]


def same_axes(a: Entry, b: Entry) -> bool:
    """Whether two entries put the numbers of a leaf at the same places."""
    shape = (*(i + 1 for i in a.leaf.copy), *a.leaf.shape)
    probe = np.arange(int(np.prod(shape))).reshape(shape)
    return np.array_equal(a.leaf.to_torch(probe), b.leaf.to_torch(probe))
