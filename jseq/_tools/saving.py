"""Models in files: `save` and `load`, and their params alone: `save_params` and `load_params`."""

import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq._interop.files import PathLike, read_tensors, write_tensors
from jseq._tools.config import from_config, to_config
from jseq._tools.trees import built, named, structure
from jseq.core import Layer
from jseq.errors import CallError, FileError, LayerError, ParamsError, describe


def save(path: PathLike, model: Layer, params: Any, state: Any = None) -> None:
    """Writes a model, its params and its state as one safetensors file, which `load` reads back.

    The architecture is JSON in the header of the file, with the structure of the two trees and a SHA-256 over
    everything. The file is written beside its place and takes it when it is complete and on the disk, so that `path`
    is the old file or the new one whenever the process is killed.

    Args:
        path: the file. A file that is there is replaced, and keeps its permissions.
        model: the layer.
        params: its params: arrays of JAX or numpy, PRNG keys too, in tuples, lists and dicts.
        state: its state, for a model that keeps some.

    Raises:
        FileError: an array or a container that the format has not, with its path.
        CallError: the model holds a function without a public name, such as a lambda: `save_params` writes the params
            without the model.
        ParamsError: the model keeps state, and none was given.
        OSError: the file cannot be written.
        ImportError: safetensors is not installed (the extra `io`).

    Example:
        >>> import jax, jseq, tempfile
        >>> model = jseq.sequential(jseq.linear(64, 128), jseq.relu())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     jseq.save(f"{folder}/model.safetensors", model, model.init(jax.random.key(0)))
        ...     again, params, state = jseq.load(f"{folder}/model.safetensors")
        >>> again == model, params[0]["weight"].shape, state
        (True, (64, 128), None)
    """
    if not isinstance(model, Layer):
        raise CallError(f"expected a jseq layer, got {describe(model)}. The call that works: "
                        "jseq.save(path, model, params, state).")  # fmt: skip
    if model.keeps_state and not jax.tree.leaves(state):
        raise ParamsError("keeps state, and none was given. The call that works: "
                          "jseq.save(path, model, params, state).", model.brief)  # fmt: skip
    texts = {"model": model_text(model), "params": compact(structure(params, "params")),
             "state": compact(structure(state, "state"))}  # fmt: skip
    write(path, params, state, texts)


def save_params(path: PathLike, params: Any, state: Any = None) -> None:
    """Writes params and state without their model, as `save` does: for `load_params`.

    For a model that JSON cannot hold, and for any other tree of arrays, an optimiser's state included.

    Raises:
        FileError: a leaf that is no array, or whose dtype the format has not, with its path.
        OSError: the file cannot be written.
        ImportError: safetensors is not installed (the extra `io`).

    Example:
        >>> import jax, jax.numpy as jnp, jseq, tempfile
        >>> model = jseq.sequential(jseq.linear(4, 2), lambda x: x * 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     jseq.save_params(f"{folder}/params.safetensors", model.init(jax.random.key(0)))
        ...     params = jseq.load_params(f"{folder}/params.safetensors", like=model.init(jax.random.key(1)))
        >>> model.apply(params, jnp.ones(4)).shape
        (2,)
    """
    write(path, params, state, {})


def load(path: PathLike) -> tuple[Layer, Any, Any]:
    """Reads the model, the params and the state that `save` wrote.

    Nothing but data is read: the file names layers, which are looked up among those of jseq and the `@jseq.layer`
    constructors of modules that are imported already, and functions of `jax.nn`, `jax.numpy` and
    `jax.nn.initializers`. Sizes are checked before anything is read, and the arrays take the file's size in memory.

    Returns:
        `(model, params, state)`. The arrays are JAX's; 64-bit arrays stay numpy's where JAX has them switched off, so
        that every value is the one that was saved. State is None if none was saved.

    Raises:
        FileError: the file is damaged, is not one that `save` wrote, or names a layer that is not known.
        OSError: there is no such file.
        ImportError: safetensors is not installed (the extra `io`).

    Example:
        See `save`.
    """
    arrays, metadata = opened(path)
    place = os.fspath(path)
    if "model" not in metadata or "jseq" not in metadata:
        other = ("holds params without a model" if "jseq" in metadata else
                 "is a safetensors file that jseq.save did not write: it holds no model")  # fmt: skip
        raise FileError(f"{place} {other}. The calls that work: jseq.load_params(path, like=params), and for torch's "
                        "names and axes jseq.load_torch_state_dict(model, path).")  # fmt: skip
    try:
        params, state = (built(json.loads(metadata.get(tree, "0")), tree, arrays) for tree in ("params", "state"))
        model = from_config(json.loads(metadata["model"]))
    except Exception as error:  # whatever a constructor says of arguments that it was never given
        raise FileError(f"{place} holds no model that can be built: {in_words(error)}") from None
    if arrays:
        raise FileError(f"{place} holds arrays that have no place in its trees: {', '.join(arrays)}.")
    return model, params, state


def load_params(path: PathLike, like: Any, state: Any = None) -> Any:
    """Reads params into a tree like the one given; names, shapes and dtypes must be the same.

    Reads what `save` and `save_params` wrote, and any other safetensors file whose names are the dotted paths of the
    tree, `0.weight` or `fc1.bias`. The axes stay as they are in the file: for torch's use `load_torch_state_dict`.

    Args:
        path: the file.
        like: params, or their shapes: `jax.eval_shape(model.init, key)`.
        state: state, or its shapes, for a file that holds some.

    Returns:
        The params, in the containers of `like`; `(params, state)` where state is given.

    Raises:
        FileError: the file is damaged; or it does not fit, and one error lists all that is missing, unexpected and
            mismatched.
        OSError: there is no such file.
        ImportError: safetensors is not installed (the extra `io`).

    Example:
        See `save_params`.
    """
    arrays, metadata = opened(path)
    trees = {"params": like, **({} if state is None else {"state": state})}
    wanted: dict[str, Any] = {}
    for root, tree in trees.items():
        found = named(tree, root) if "jseq" in metadata else named(tree, escape=False)
        if wanted.keys() & found.keys():
            raise FileError(f"params and state both have {', '.join(wanted.keys() & found.keys())}: read them one by "
                            f"one from {os.fspath(path)}, which does not tell them apart.")  # fmt: skip
        wanted |= found
    refuse_misfits(os.fspath(path), wanted, arrays)
    leaves = iter([arrays[name] for name in wanted])
    read = tuple(jax.tree.map(lambda _: next(leaves), tree) for tree in trees.values())
    return read[0] if state is None else read


def write(path: PathLike, params: Any, state: Any, texts: Mapping[str, str]) -> None:
    """Writes the arrays of two trees, keys as the numbers behind them."""
    arrays = named(params, "params") | named(state, "state")
    keys: dict[str, Any] = {}
    for name, leaf in arrays.items():
        if not getattr(leaf, "is_fully_addressable", True):
            raise FileError(f"{name} lies on devices of several processes. Checkpoints of such arrays are for Orbax: "
                            "docs/how-to/checkpoints-with-orbax.md.")  # fmt: skip
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            keys[name], arrays[name] = jax.random.key_impl(leaf), jax.random.key_data(leaf)
            if not isinstance(keys[name], str):
                raise FileError(f"{name} is a key of {keys[name]!r:.60}, which has no name that a file can hold.")
    write_tensors(path, arrays, {**texts, **({"keys": compact(keys)} if keys else {})})


def opened(path: PathLike) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads the arrays of a file as JAX's, the keys among them as keys."""
    tensors, metadata = read_tensors(path)
    arrays: dict[str, Any] = {}
    try:
        keys: Any = json.loads(metadata.get("keys", "{}")) if "jseq" in metadata else {}
        for name in list(tensors):
            arrays[name] = as_jax(tensors.pop(name))  # one by one, so that each is held once
        for name, implementation in keys.items():
            arrays[name] = jax.random.wrap_key_data(arrays[name], impl=str(implementation))
    except Exception as error:
        raise FileError(f"{os.fspath(path)} holds arrays that cannot be made: {in_words(error)}") from None
    return arrays, metadata


def as_jax(array: np.ndarray) -> Any:
    """The array as JAX's, unless JAX would change its values."""
    return jnp.asarray(array) if jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype else array


def refuse_misfits(place: str, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises one error for everything that does not fit."""
    both = [name for name in wanted if name in given]
    kinds = {
        "missing": [f"{name} {describe(wanted[name])}" for name in wanted if name not in given],
        "unexpected": [f"{name} {describe(given[name])}" for name in given if name not in wanted],
        "mismatched": [f"{name}: expected {describe(wanted[name])}, got {describe(given[name])}" for name in both
                       if describe(wanted[name]) != describe(given[name])],
    }  # fmt: skip
    found = [f"{len(rows)} {kind}: {', '.join(rows)}" for kind, rows in kinds.items() if rows]
    if found:
        hint = ""
        if kinds["unexpected"] and all(row.startswith("state.") for row in kinds["unexpected"]):
            hint = " The call that works: params, state = jseq.load_params(path, like=params, state=state)."
        raise FileError(f"{place} does not fit: {'; '.join(found)}.{hint}")


def model_text(model: Layer) -> str:
    """The architecture as JSON; refuses what would not come back."""
    try:
        text = compact(to_config(model))
        again = from_config(json.loads(text))
    except LayerError as error:
        error.message += " Or save the params alone: jseq.save_params(path, params, state)."
        raise
    if again != model and repr(again) != repr(model):  # nan is no equal of nan
        raise FileError("cannot be written as JSON: it would come back as another model. The call that works: "
                        "jseq.save_params(path, params, state).", model.brief)  # fmt: skip
    return text


def compact(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def in_words(error: Exception) -> str:
    """What an error says, or what it is."""
    return str(error) or type(error).__name__
