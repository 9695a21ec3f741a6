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
from jseq._interop.weights import check_layer, torch_state_dict
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

    TEXT
    """
    torch = need("torch", "torch")
    check_layer(model, "to_torch(model, params, state)")
    state = () if state is None else state
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
