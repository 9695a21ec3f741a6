"""Trees of params and state in files: the names of their arrays, and their structure as JSON."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq.errors import FileError, describe

LEAF = "array"


def named(tree: Any, root: str = "", escape: bool = True) -> dict[str, Any]:
    """The arrays of a tree by their dotted paths: `params.0.weight`.

    A dot within a key is written with a backslash before it, so that two arrays never share a name; without `escape`
    it is left as it is, and a name that comes twice is refused.

    Raises:
        FileError: a leaf is no array, or two have one name.
    """
    found: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        keys = [jax.tree_util.keystr((key,), simple=True) for key in path]
        name = ".".join(([root] if root else []) + [escaped(key) if escape else key for key in keys])
        if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
            raise FileError(f"{name} is {describe(leaf)}; a file holds arrays: jnp.asarray makes one of a number.")
        if name in found:
            raise FileError(f"two arrays are called {name}; rename a key.")
        found[name] = leaf
    return found


def escaped(key: str) -> str:
    """A key as one part of a dotted path."""
    return key.replace("\\", "\\\\").replace(".", "\\.")


def structure(tree: Any, where: str) -> Any:
    """The containers of a tree as JSON, with "array" for each leaf.

    Raises:
        FileError: a container is no tuple, list or dict of strings.
    """
    if tree is None:
        return None
    if type(tree) is dict:
        for key in tree:
            if not isinstance(key, str):
                raise FileError(f"{where} is a dict with the key {key!r:.60}; a file holds keys that are strings.")
        return {"dict": {key: structure(value, f"{where}.{escaped(key)}") for key, value in tree.items()}}
    if type(tree) in (tuple, list):
        return {type(tree).__name__: [structure(value, f"{where}.{i}") for i, value in enumerate(tree)]}
    if not jax.tree_util.all_leaves([tree]):
        raise FileError(
            f"{where} is a {type(tree).__name__}; a file holds tuples, lists, dicts and None, because reading another "
            "container would run its code. The call that works: jseq.save_params(path, params), and "
            "jseq.load_params(path, like=params)."
        )
    return LEAF


def built(skeleton: Any, where: str, arrays: dict[str, Any]) -> Any:
    """The tree of a structure with the arrays in it, which are taken out of the dict.

    Raises:
        ValueError: this is no structure, or an array is missing.
    """
    if skeleton is None:
        return None
    if skeleton == LEAF and where in arrays:
        return arrays.pop(where)
    if isinstance(skeleton, Mapping) and len(skeleton) == 1:
        ((kind, parts),) = skeleton.items()
        if kind == "dict" and isinstance(parts, Mapping):
            return {key: built(part, f"{where}.{escaped(key)}", arrays) for key, part in parts.items()}
        if kind in ("tuple", "list") and isinstance(parts, list):
            found = [built(part, f"{where}.{i}", arrays) for i, part in enumerate(parts)]
            return tuple(found) if kind == "tuple" else found
    raise ValueError(f"{where} is {skeleton!r:.60}, and there is no such array")
