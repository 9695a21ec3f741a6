"""Selecting parts of params and state: by patterns of paths, by kinds of layers, by predicates."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from jseq.core import Layer
from jseq.errors import ParamsError, describe


def mask(tree: Any, *select: Any, exclude: Any = (), model: Layer | None = None) -> Any:
    """Says of each leaf whether it is selected: a tree of the same structure with True and False.

    It is what `optax.masked`, `optax.add_decayed_weights` and others take. A selector is

    - a pattern of paths: `*` within one name, `**` over any number of names, `/` or `.` between: `encoder/**/weight`.
      A pattern that names a layer names all that is in it: "encoder";
    - a constructor, as `jseq.batch_norm`: what its layers hold. This needs `model`;
    - a predicate of the path, dotted, and the leaf: `lambda path, leaf: leaf.ndim > 1`.

    Only the structure is read, and by predicates what they read: trees of `jax.ShapeDtypeStruct` and tracers will do.

    Args:
        tree: params, state, gradients, or any tree of arrays.
        *select: selectors; a leaf that any of them selects is selected. Without any, all leaves are.
        exclude: a selector, or a tuple of them: leaves that are not selected all the same.
        model: the model, for selectors that are constructors.

    Returns:
        The tree of bools.

    Raises:
        SelectionError: a selector that selects nothing, with near misses; or nothing is left.
        CallError: tree is a layer, a selector is none of the three, or a constructor comes without a model.

    Example:
        >>> import jax, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.batch_norm(8))
        >>> params, state = jseq.with_state(model).init(jax.random.key(0))
        >>> jseq.mask(params, "**/weight", exclude=jseq.batch_norm, model=model)
        ({'bias': False, 'weight': True}, {'bias': False, 'weight': False})
    """
    from jseq._tools import selecting

    return selecting.filled(tree, selecting.chosen(tree, select, exclude, model).values())


def label(tree: Any, labels: Mapping[Any, Any], default: Any = None, *, model: Layer | None = None) -> Any:
    """Gives each leaf the label of the first selector that selects it: what `optax.multi_transform` takes.

    Args:
        tree: params or another tree of arrays.
        labels: a dict from selectors (see `mask`), or tuples of them, to labels. A label is a string, or any other
            value, such as a factor of the learning rate.
        default: the label of leaves that no selector selects; None allows none of them.
        model: the model, for selectors that are constructors.

    Returns:
        A tree of the same structure with labels.

    Raises:
        SelectionError: a selector that selects nothing, or leaves without label.
        CallError: as `mask`; or labels are no dict.

    Example:
        >>> import jax, jseq
        >>> params = jseq.sequential(jseq.linear(4, 8), jseq.linear(8, 2)).init(jax.random.key(0))
        >>> jseq.label(params, {"1": "head", "**/bias": "biases"}, default="rest")
        ({'bias': 'biases', 'weight': 'rest'}, {'bias': 'head', 'weight': 'head'})
    """
    from jseq._tools import selecting

    return selecting.filled(tree, selecting.labelled(tree, labels, default, model))


def partition(tree: Any, *select: Any, exclude: Any = (), model: Layer | None = None) -> tuple[Any, Any]:
    """Takes a tree apart: the selected leaves and the rest, each with None in the other's places.

    JAX and optax skip None, so that `jax.grad` with respect to one part, and an optimiser of it, see that part alone.
    `merge` puts them together again.

    Args:
        tree, *select, exclude, model: as in `mask`.

    Returns:
        `(selected, rest)`, in the containers of the tree.

    Raises:
        SelectionError, CallError: as `mask`.

    Example:
        >>> import jax, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 2))
        >>> params = model.init(jax.random.key(0))
        >>> head, backbone = jseq.partition(params, "2")
        >>> backbone[2], head[:2]
        ({'bias': None, 'weight': None}, ({'bias': None, 'weight': None}, ()))
        >>> y = model.apply(jseq.merge(head, backbone), jax.numpy.ones(4))
    """
    from jseq._tools import selecting

    pairs = list(zip(jax.tree.leaves(tree), selecting.chosen(tree, select, exclude, model).values(), strict=True))
    selected = selecting.filled(tree, (leaf if wanted else None for leaf, wanted in pairs))
    return selected, selecting.filled(tree, (None if wanted else leaf for leaf, wanted in pairs))


def merge(*parts: Any) -> Any:
    """Puts together what `partition` took apart: at each place the one leaf that is not None.

    Args:
        *parts: two or more trees with the same containers.

    Raises:
        ParamsError: containers that differ, or a leaf in two of the parts.

    Example:
        >>> import jseq
        >>> jseq.merge({"weight": 1.0, "bias": None}, {"weight": None, "bias": 0.0})
        {'bias': 0.0, 'weight': 1.0}
    """
    structures = {jax.tree.structure(part, is_leaf=lambda leaf: leaf is None) for part in parts}
    if len(structures) != 1:
        raise ParamsError(
            f"expected parts in the same containers, as jseq.partition makes them, got {describe(parts)}."
        )

    def one(*leaves: Any) -> Any:
        here = [leaf for leaf in leaves if leaf is not None]
        if len(here) > 1:
            raise ParamsError(f"two parts have a leaf in the same place: {describe(tuple(here))}. "
                              "Parts of one tree have None where the other has a leaf.")  # fmt: skip
        return here[0] if here else None

    return jax.tree.map(one, *parts, is_leaf=lambda leaf: leaf is None)


def map_at(
    function: Callable[[Any], Any], tree: Any, *select: Any, exclude: Any = (), model: Layer | None = None
) -> Any:
    """Applies a function to the selected leaves, as `jax.tree.map` does to all; the others stay as they are.

    Args:
        function: a function of one leaf.
        tree, *select, exclude, model: as in `mask`.

    Raises:
        SelectionError, CallError: as `mask`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> params = jseq.sequential(jseq.linear(4, 8), jseq.linear(8, 2)).init(jax.random.key(0))
        >>> halves = jseq.map_at(lambda leaf: leaf.astype(jnp.bfloat16), params, "**/weight")
        >>> halves[0]["weight"].dtype.name, halves[0]["bias"].dtype.name
        ('bfloat16', 'float32')
    """
    from jseq._tools import selecting

    wanted = selecting.chosen(tree, select, exclude, model).values()
    return selecting.filled(tree, (function(leaf) if this else leaf
                                   for leaf, this in zip(jax.tree.leaves(tree), wanted, strict=True)))  # fmt: skip


def count(tree: Any, *select: Any, exclude: Any = (), model: Layer | None = None) -> int:
    """Counts the numbers in the selected leaves: how many parameters there are.

    Args:
        tree, *select, exclude, model: as in `mask`.

    Raises:
        SelectionError, CallError: as `mask`.

    Example:
        >>> import jax, jseq
        >>> params = jax.eval_shape(jseq.linear(4096, 4096).init, jax.random.key(0))
        >>> jseq.count(params), jseq.count(params, "bias")
        (16781312, 4096)
    """
    from jseq._tools import selecting

    wanted = selecting.chosen(tree, select, exclude, model).values()
    return sum(leaf.size for leaf, this in zip(jax.tree.leaves(tree), wanted, strict=True) if this)
