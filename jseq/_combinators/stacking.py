"""Copies of a layer as one tree with a leading axis, and as a tuple of trees."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq.errors import ParamsError, describe


def stack_params(trees: tuple[Any, ...]) -> Any:
    """Stacks the params of n equal layers on a new leading axis: `sequential`'s tuple to `repeat`'s tree.

    Raises:
        ParamsError: no trees, or trees of different structures or shapes.

    Example:
        >>> import jax, jseq
        >>> params = jseq.sequential(*[jseq.linear(4, 4)] * 3).init(jax.random.key(0))
        >>> jseq.stack_params(params)["weight"].shape
        (3, 4, 4)
    """
    if not trees or len({str(jax.tree.map(jnp.shape, tree)) for tree in trees}) != 1:
        raise ParamsError(f"expected a tuple of equal trees to stack, got {describe(trees)}.")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack_params(tree: Any) -> tuple[Any, ...]:
    """Undoes `stack_params`: a tree with a leading axis n to a tuple of n trees.

    Raises:
        ParamsError: the leading axes differ, or there are no leaves to tell n from.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> [p["weight"].shape for p in jseq.unstack_params({"weight": jnp.ones((3, 4, 4))})]
        [(4, 4), (4, 4), (4, 4)]
    """
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(tree)}
    if len(sizes) != 1 or sizes == {()}:
        raise ParamsError(f"expected leaves with one leading axis to unstack, got {describe(tree)}.")
    return tuple(jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(sizes.pop()[0]))


def tuple_of_pairs(made: tuple[Any, Any], n: int) -> tuple[Any, Any]:
    """Params and state of the copies as tuples of n trees."""
    params, state = (unstack_params(tree) if jax.tree.leaves(tree) else (tree,) * n for tree in made)
    return params, state
