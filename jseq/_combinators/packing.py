"""Packing: many params in one contiguous array per dtype, for calls whose cost is their number of leaves."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators.children import inner
from jseq._core import calls
from jseq.core import Layer, layer
from jseq.errors import CallError, ParamsError, describe


def pack(params: Any) -> dict[str, jax.Array]:
    """Packs the leaves of a tree into one contiguous array for each dtype, in the order of `jax.tree.leaves`.

    `unpack(pack(params), params)` gives the same numbers, bit for bit.

    Raises:
        CallError: a leaf is no array.

    Example:
        >>> import jax, jseq
        >>> params = jseq.sequential(jseq.linear(4, 8), jseq.linear(8, 2)).init(jax.random.key(0))
        >>> {name: array.shape for name, array in jseq.pack(params).items()}
        {'float32': (58,)}
    """
    return {name: jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]) for name, leaves in by_dtype(params).items()}


def unpack(packed: Mapping[str, jax.Array], like: Any) -> Any:
    """Undoes `pack`: cuts the arrays into a tree with the structure and shapes of `like`.

    Args:
        packed: what `pack` made, possibly cast since.
        like: a tree of arrays or `jax.ShapeDtypeStruct`s, such as `jax.eval_shape(model.init, key)`.

    Raises:
        ParamsError: the arrays do not have the dtypes and sizes of `like`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> like = {"weight": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}
        >>> jseq.unpack({"float32": jnp.arange(9.0)}, like)["weight"]
        Array([[3., 4., 5.],
               [6., 7., 8.]], dtype=float32)
    """
    groups = by_dtype(like)
    wanted = {name: (sum(leaf.size for leaf in leaves),) for name, leaves in groups.items()}
    if not isinstance(packed, Mapping) or {name: jnp.shape(array) for name, array in packed.items()} != wanted:
        shapes = {name: jax.ShapeDtypeStruct(shape, name) for name, shape in wanted.items()}
        raise ParamsError(f"expected packed params {describe(shapes)}, got {describe(packed)}. "
                          "jseq.pack(params) makes them of a tree.")  # fmt: skip
    # lax.split, because its transpose is one concatenate; that of n slices is n arrays of the full size, added.
    cut = {name: iter(jax.lax.split(packed[name], [leaf.size for leaf in leaves])) for name, leaves in groups.items()}
    return jax.tree.map(lambda leaf: next(cut[leaf.dtype.name]).reshape(leaf.shape), like)


def by_dtype(tree: Any) -> dict[str, list[Any]]:
    """The leaves of each dtype, in order."""
    groups: dict[str, list[Any]] = {}
    for leaf in jax.tree.leaves(tree):
        if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
            raise CallError(f"expected a tree of arrays, got {describe(leaf)} in it.")
        groups.setdefault(leaf.dtype.name, []).append(leaf)
    return groups


@layer
def packed(layer: Layer | Any):
    """Keeps the params of a layer in one contiguous array per dtype; `apply` unpacks them when it is compiled.

    A jitted call pays for every leaf that it is given, so a model of many small params starts faster, and an
    optimiser updates one array (`docs/reference/parameters.md` has measurements). Not for params that are sharded
    or treated differently by name.

    Args:
        layer: the layer whose params are packed.

    Input, Output, State, Context: those of the layer.
    Params: `{"float32": (size,)}`, an entry for each dtype among the layer's: `pack` of the layer's own, and
        `unpack` gives those back. An entry keeps its name when it is cast.

    Raises:
        ParamsError: params that are not packed, or of another size.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 2))
        >>> flat = jseq.packed(model)
        >>> params = flat.init(jax.random.key(0))
        >>> params["float32"].shape, flat.apply(params, jnp.ones((3, 4))).shape
        ((58,), (3, 2))
        >>> tree = jseq.unpack(params, jax.eval_shape(model.init, jax.random.key(0)))
        >>> tree[2]["weight"].shape
        (8, 2)
    """
    child = inner(layer)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state, _ = child.init(key, x)
        return pack(params), state

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        tree = unpack(params, calls.expected_trees(child.layer, x)[0])
        return child.apply(tree, state, x, key=key, train=train, context=context)

    return init, apply, child.layer
