"""Torch's state dicts of jseq's models, without torch: `torch_state_dict` and `load_torch_state_dict`."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq._core import calls
from jseq._core.checks import by_path, misfit
from jseq._interop.entries import declared, entries_of
from jseq._interop.extras import need
from jseq._interop.leaves import Entry
from jseq.core import Layer
from jseq.errors import CallError, LayerError, ParamsError, describe

SHOWN = 8  # entries of a kind in an error
Value = tuple[str, Any]  # the name that it came under, the array in jseq's axes


def torch_state_dict(model: Layer, params: Any, state: Any = ()) -> dict[str, np.ndarray]:
    """Writes params and state as the state dict of the torch module that the model equals.

    The names and the order of the axes are torch's, the arrays are numpy's: C-ordered copies of the params' dtypes.
    Torch is not needed; with it, `module.load_state_dict({name: torch.tensor(a) for name, a in entries.items()})`.

    Args:
        model: any layer. Wrappers such as `channels_first` add nothing to names; `tie` writes its leaf under both
            names, `weight_norm` and `spectral_norm` write torch's `parametrizations`, `repeat` and `ensemble` number
            their copies. A layer that torch lacks keeps its own names.
        params: its params.
        state: its state, for a model that keeps some.

    Returns:
        The entries by name.

    Raises:
        ParamsError: params or state of another model.
        CallError: a layer keeps its params in a form that torch has no names for, such as `packed`.

    Example:
        >>> import jax, jseq
        >>> model = jseq.sequential({"fc1": jseq.linear(64, 128), "act": jseq.relu()})
        >>> entries = jseq.torch_state_dict(model, model.init(jax.random.key(0)))
        >>> {name: array.shape for name, array in sorted(entries.items())}
        {'fc1.bias': (128,), 'fc1.weight': (128, 64)}
    """
    state = () if state is None else state
    check_trees(model, params, state, "torch_state_dict(model, params, state)")
    leaves = {"params": jax.tree.leaves(params), "state": jax.tree.leaves(state)}
    return {entry.name: np.array(entry.leaf.to_torch(np.asarray(leaves[entry.leaf.tree][entry.leaf.index])), order="C")
            for entry in entries_of(model, params, state)}  # fmt: skip


def check_layer(model: Any, call: str) -> None:
    """Refuses what is no layer."""
    if not isinstance(model, Layer):
        raise CallError(f"expected a jseq layer, got {describe(model)}. The call that works: jseq.{call}.")


def check_trees(model: Layer, params: Any, state: Any, call: str) -> None:
    """Refuses what is no layer, state that was left out, and trees of other shapes than `init` makes, if declared."""
    check_layer(model, call)
    works = f"The call that works: jseq.{call}."
    if model.keeps_state and not jax.tree.leaves(state):
        raise ParamsError(f"keeps state, and none was given. {works}", model.brief)
    wanted = declared(model)
    if wanted is None:
        return
    for what, tree, given in (("params", wanted[0], params), ("state", wanted[1], state)):
        shapes = [{path: jnp.shape(leaf) for path, leaf in by_path(t).items()} for t in (tree, given)]
        if shapes[0] != shapes[1]:
            raise ParamsError(f"{what} do not fit: {misfit(tree, given)}. {works}", model.brief)


def load_torch_state_dict(model: Layer, state_dict: Any, x: Any = None) -> tuple[Any, Any]:
    """Reads params and state from the state dict of the torch module that the model equals.

    The inverse of `torch_state_dict`. Floating arrays keep their dtype (float64 only where JAX has it switched on).
    Weight and spectral norm are read under their older names too (`weight_g`, `weight_orig`); of tied entries one is
    enough, and two must be equal.

    Args:
        model: the layer. Where torch flattens `(C, H, W)` and a linear layer follows, flatten in torch's order:
            `adapt(flatten(), permute((-1, -3, -2)))`.
        state_dict: a mapping of names to numpy arrays, JAX arrays or torch tensors, such as `module.state_dict()`; or
            the path of a safetensors file. Torch is not needed for the arrays and the file.
        x: an input, or its `jax.ShapeDtypeStruct`, for a model whose sizes are inferred.

    Returns:
        `(params, state)`, copies; state is empty for a model that keeps none.

    Raises:
        ParamsError: entries are missing, unexpected or misshapen; all of them are listed.
        CallError: state_dict is no mapping and no path; a layer keeps its params in a form that torch has no names for.
        FileError: a path is given, and the file is damaged, or no safetensors file.
        ImportError: a path is given, and safetensors is not installed.

    Example:
        >>> import numpy as np, jseq
        >>> entries = {"0.weight": np.ones((3, 2), np.float32), "0.bias": np.zeros(3, np.float32)}
        >>> params, state = jseq.load_torch_state_dict(jseq.sequential(jseq.linear(2, 3), jseq.relu()), entries)
        >>> params[0]["weight"].shape
        (2, 3)
    """
    check_layer(model, "load_torch_state_dict(model, module.state_dict())")
    given = opened(state_dict)
    shapes = shapes_of(model, x)
    entries = entries_of(model, *shapes)
    values = matched(model, entries, given, {"params": jax.tree.leaves(shapes[0]), "state": jax.tree.leaves(shapes[1])})
    return filled("params", shapes[0], values), filled("state", shapes[1], values)


def opened(state_dict: Any) -> Mapping[str, Any]:
    """The mapping itself, or the one that stands in a file."""
    if isinstance(state_dict, str | os.PathLike):
        from jseq._interop.files import read_tensors

        return read_tensors(state_dict)[0]
    if not isinstance(state_dict, Mapping):
        hint = "module.state_dict()" if hasattr(state_dict, "state_dict") else "torch_state_dict(model, params, state)"
        raise CallError("expected state_dict to be a mapping of names to arrays, or the path of a safetensors file, "
                        f"got {type(state_dict).__name__}. The call that works: "
                        f"jseq.load_torch_state_dict(model, {hint}).")  # fmt: skip
    return state_dict


def shapes_of(model: Layer, x: Any) -> tuple[Any, Any]:
    """The shapes of the trees that `init` makes."""
    try:
        return calls.shapes(model, jax.tree.map(calls.as_shape, x))[:2]
    except LayerError as error:
        error.name(model.brief)
        if x is None:
            error.add_note("If sizes are inferred, the call that works: jseq.load_torch_state_dict(model, entries, x).")
        raise


def matched(
    model: Layer, entries: list[Entry], given: Mapping[str, Any], leaves: Mapping[str, list[Any]]
) -> dict[tuple[str, int], dict[tuple[int, ...], Value]]:
    """The arrays for each leaf, by its tree and number, and by its copy; refuses what does not fit."""
    values: dict[tuple[str, int], dict[tuple[int, ...], Value]] = {}
    missing: list[Entry] = []
    rows: list[str] = []
    used: set[str] = set()
    for entry in entries:
        leaf = entry.leaf
        name = entry.name if entry.name in given or entry.legacy not in given else entry.legacy
        if name not in given:
            missing.append(entry)
            continue
        used.add(name)
        problem = misfits(given[name], leaf.moved, leaves[leaf.tree][leaf.index])
        if problem:
            rows.append(f"{name!r} {problem}")
            continue
        array = leaf.to_jseq(as_numpy(given[name]))
        copies = values.setdefault((leaf.tree, leaf.index), {})
        other, known = copies.setdefault(leaf.copy, (name, array))
        if known is not array and (known.dtype != array.dtype or known.tobytes() != array.tobytes()):
            rows.append(f"{name!r} differs from {other!r}, to which it is tied")
    absent = [entry for entry in missing if entry.leaf.copy not in values.get((entry.leaf.tree, entry.leaf.index), {})]
    refuse(model, rows, absent, {name: value for name, value in given.items() if name not in used})
    return values


def misfits(value: Any, shape: tuple[int, ...], like: Any) -> str:
    """What is wrong with an entry; "" if nothing is."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return f"expected an array, got {describe(value)}"
    if tuple(value.shape) != shape:
        return f"expected {shape}, got {tuple(value.shape)}"
    floating = getattr(value, "is_floating_point", lambda: jnp.issubdtype(value.dtype, jnp.floating))()
    wanted = jnp.issubdtype(like.dtype, jnp.floating)
    return "" if bool(floating) == bool(wanted) else f"expected {like.dtype}, got {value.dtype}"


def refuse(model: Layer, rows: list[str], missing: list[Entry], unexpected: Mapping[str, Any]) -> None:
    """Raises one error for everything that does not fit."""
    parts = {
        "misshapen": rows,
        "missing": [f"{entry.name!r} {entry.leaf.moved}" for entry in missing],
        "unexpected": [f"{name!r} {tuple(getattr(value, 'shape', ()))}" for name, value in unexpected.items()],
    }
    found = [f"{len(lines)} {kind}: {shortened(lines)}" for kind, lines in parts.items() if lines]
    if found:
        names = [entry.name for entry in missing]
        hint = wrapped_hint(unexpected) or prefix_hint(names, list(unexpected))
        raise ParamsError(f"the state dict does not fit: {'; '.join(found)}. The names and shapes are torch's.{hint}",
                          model.brief)  # fmt: skip


def shortened(lines: list[str]) -> str:
    """The first of many, and how many more there are."""
    return ", ".join(lines[:SHOWN]) + (f", and {len(lines) - SHOWN} more" if len(lines) > SHOWN else "")


def wrapped_hint(unexpected: Mapping[str, Any]) -> str:
    """Names the entry that is a state dict itself, as checkpoints with an epoch or an optimiser have one."""
    for name, value in unexpected.items():
        if isinstance(value, Mapping) and value and all(hasattr(array, "shape") for array in value.values()):  # pyright: ignore
            return (f" {name!r} is a state dict itself. The call that works: "
                    f"jseq.load_torch_state_dict(model, state_dict[{name!r}]).")  # fmt: skip
    return ""


def prefix_hint(missing: list[str], unexpected: list[str]) -> str:
    """Names the prefix that unexpected names have too much, as those of a module inside another have."""
    for prefix in {name[: -len(wanted)] for wanted in missing[:1] for name in unexpected if name.endswith(wanted)}:
        if all(name.startswith(prefix) for name in unexpected):
            taken_off = f"{{name.removeprefix({prefix!r}): array for name, array in state_dict.items()}}"
            return f" Every unexpected name begins with {prefix!r}. The call that works: {taken_off}."
    return ""


def as_numpy(value: Any) -> np.ndarray:
    """A numpy array, or JAX's, or a torch tensor, as numpy has it."""
    if not hasattr(value, "detach"):
        array = np.asarray(value)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    tensor = value.detach().cpu()
    name = str(tensor.dtype).removeprefix("torch.")
    if name != "bfloat16" and not name.startswith("float8"):
        return tensor.numpy()
    torch = need("torch", "torch")  # numpy() knows no bfloat16 and no float8: their bits go as integers
    return tensor.view(torch.int16 if name == "bfloat16" else torch.uint8).numpy().view(jnp.dtype(name))


def filled(tree: str, shapes: Any, values: Mapping[tuple[str, int], Mapping[tuple[int, ...], Value]]) -> Any:
    """A tree of these shapes with the arrays in it."""
    leaves, structure = jax.tree.flatten(shapes)
    return structure.unflatten([filled_leaf(like, values[tree, i]) for i, like in enumerate(leaves)])


def filled_leaf(like: Any, copies: Mapping[tuple[int, ...], Value]) -> jax.Array:
    """One leaf of its copies: floats keep their dtype, integers have that of `like`."""
    dtype = like.dtype
    if jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(*{jax.dtypes.canonicalize_dtype(array.dtype) for _, array in copies.values()})
    whole = np.empty(like.shape, dtype)
    for copy, (_, array) in copies.items():
        whole[copy] = array
    return jnp.asarray(whole)
