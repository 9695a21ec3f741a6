"""Many at once: members with params of their own, and examples one by one."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators.children import Child, inner
from jseq._combinators.depth import check_leading
from jseq._core.keys import child_keys, stable_number
from jseq._layers.options import at_least
from jseq.core import Layer, layer
from jseq.errors import OptionError, ShapeError, describe

Context = Mapping[str, Any] | None


@layer
def ensemble(layer: Layer | Any, n: int, *, shared: bool = True):
    """Applies n copies of a layer side by side, each with its own params, as one vmapped call.

    `y[i] = f(params[i], x)`, or `f(params[i], x[i])`. The members have the initial values and dropout masks that
    they would have in `branch(*[layer] * n)`.

    Args:
        layer: the layer to copy.
        n: number of members.
        shared: whether every member sees the same x; else axis 0 of x is the member axis.

    Input: what the layer takes; with `shared=False`, the same with a leading axis n.
    Output: what the layer gives, with a leading axis n.
    Params: those of the layer with a leading axis n. `unstack_params` gives one tree for each member.
    State: the same.
    Context: what the layer reads; every member gets the same.

    Raises:
        ShapeError: with `shared=False`, axis 0 of x is not n.
        ParamsError: the params have no leading axis n.
        OptionError: n below 1.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.ensemble(jseq.linear(3, 2), 5)
        >>> params = model.init(jax.random.key(0))
        >>> params["weight"].shape, model.apply(params, jnp.ones((8, 3))).shape
        ((5, 3, 2), (5, 8, 2))
    """
    at_least(1, n=n)
    child = inner(layer, f"one of {n} members")
    numbers = [stable_number(f"{child.layer.name}:{i}") for i in range(n)]  # as siblings of one kind have them

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        example = x if shared or x is None else without_axis(x, n)
        return jax.vmap(lambda key: child.init(key, example)[:2])(child_keys(key, numbers))

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        check_leading(params, n)
        if not shared:
            without_axis(x, n)
        keys = child_keys(key, numbers) if key is not None and child.layer.uses_key else None

        def member(params: Any, state: Any, x: Any, key: Any) -> tuple[Any, Any]:
            return child.apply(params, state, x, key=key, train=train, context=context)

        return jax.vmap(member, (0, 0, None if shared else 0, 0), axis_size=n)(params, state, x, keys)

    return init, apply, child.layer


@layer
def over_batch(layer: Layer | Any):
    """Applies a layer to each example of axis 0 separately: `y[i] = f(params, x[i])`, the params shared.

    For layers that mean all of their input, such as one of the user's own that takes a single image. jseq's layers
    take leading axes by themselves and do not need it. Each example has its own key, `fold_in(key, i)`.

    Args:
        layer: the layer for one example.

    Input: what the layer takes, with a leading axis.
    Output: what the layer gives, with the same leading axis.
    Params: those of the layer.
    Context: what the layer reads; every example gets all of it.

    Raises:
        ShapeError: x has no leading axis, or those of several inputs differ.
        OptionError: the layer keeps state, which the examples would each want to change.

    Follows `jax.vmap`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.over_batch(jseq.flatten(0))
        >>> model.apply((), jnp.ones((8, 2, 3))).shape
        (8, 6)
    """
    child = inner(layer, "each example")
    refuse_state(child)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        return child.init(key, None if x is None else without_axis(x))[:2]

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        without_axis(x)
        keys = None
        if key is not None and child.layer.uses_key:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(jax.tree.leaves(x)[0].shape[0]))

        def example(x: Any, key: Any) -> Any:
            return child.apply(params, state, x, key=key, train=train, context=context)[0]

        return jax.vmap(example)(x, keys), state

    return init, apply, child.layer


def refuse_state(child: Child) -> None:
    """Refuses a layer whose state every example would change."""
    if child.layer.keeps_state:
        raise OptionError(f"expected a layer that keeps no state, got {child.layer.brief}: each example would change "
                          "the state in its own way. ensemble(layer, n) gives each its own; or apply the layer to the "
                          "whole batch.")  # fmt: skip


def without_axis(x: Any, n: int | None = None) -> Any:
    """The shapes of x without its axis 0, which must be of one size, and of size n where that is given."""
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(x)}
    if len(sizes) != 1 or sizes == {()} or (n is not None and sizes != {(n,)}):
        wanted = "one leading axis" if n is None else f"a leading axis of {n}, one entry for each member"
        raise ShapeError(f"expected x with {wanted}, got {describe(x)}.")
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), x)
