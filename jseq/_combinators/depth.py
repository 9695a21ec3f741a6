"""Depth and memory: one layer many times over, and recomputing instead of keeping."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators.children import inner
from jseq._combinators.siblings import init_mapped
from jseq._combinators.stacking import stack_params, tuple_of_pairs, unstack_params
from jseq._core.keys import child_keys, stable_number
from jseq._layers.options import at_least
from jseq.core import Layer, layer
from jseq.errors import OptionError, ParamsError, ShapeError, describe, near_misses
from jseq.functional.sharded import varying_alike

Context = Mapping[str, Any] | None


@layer
def repeat(layer: Layer | Any, n: int, *, stacked: bool = True, remat: bool = False, unroll: int = 1):
    """Applies n copies of a layer one after the other, each with its own params, compiled once by `lax.scan`.

    Computes what `sequential(*[layer] * n)` does, with the same initial values and dropout masks, but traces and
    compiles the layer once. That pays in compile time from some dozens of copies on, and can cost step time on CPU
    (see `docs/explanation/depth.md` for measurements): `sequential` never does it by itself.

    Args:
        layer: the layer to repeat; its output has the shape and dtype of its input.
        n: number of copies.
        stacked: whether params and state carry a leading axis n (compiles and runs faster); else they are
            a tuple of n trees, as optimisers, checkpoints and torch have them, stacked inside.
        remat: whether to recompute the copies' activations in the backward pass instead of keeping them.
        unroll: copies per step of the loop.

    Input: what the layer takes.
    Output: the same shape and dtype.
    Params: those of the layer with a leading axis n, or a tuple of n. `stack_params` and `unstack_params` convert.
    State: the same.
    Context: what the layer reads; every copy gets the same.

    Raises:
        ShapeError: the layer changes the shape or dtype.
        OptionError: n or unroll below 1.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> deep = jseq.repeat(jseq.residual(jseq.sequential(jseq.linear(8, 8), jseq.relu())), 12)
        >>> params = deep.init(jax.random.key(0))
        >>> params["layer"][0]["weight"].shape, deep.apply(params, jnp.ones((2, 8))).shape
        ((12, 8, 8), (2, 8))
    """
    at_least(1, n=n, unroll=unroll)
    child = inner(layer, f"one of {n} copies")
    # As sequential derives them: kind and ordinal. So both draw the same values.
    numbers = [stable_number(f"{child.layer.name}:{i}") for i in range(n)]

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        if x is not None:
            check_kept(x, child.init(key, x)[2])
        made = init_mapped(lambda key: child.init(key, x)[:2], child_keys(key, numbers))
        return made if stacked else tuple_of_pairs(made, n)

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        params, state = (params, state) if stacked else (gathered(params, n), gathered(state, n))
        check_leading(params, n)
        keys = child_keys(key, numbers) if key is not None and child.layer.uses_key else None

        def step(x: Any, copy: Any) -> tuple[Any, Any]:
            p, s, k = copy
            y, s = child.apply(p, s, x, key=k, train=train, context=context)
            check_kept(x, y)
            return y, s

        x = varying_alike(x, params, state, keys, context)
        y, states = jax.lax.scan(jax.checkpoint(step) if remat else step, x, (params, state, keys), n, unroll=unroll)
        return y, states if stacked or not jax.tree.leaves(states) else unstack_params(states)

    return init, apply, child.layer


def gathered(trees: Any, n: int) -> Any:
    """Stacks a tuple of n trees; refuses anything else."""
    if trees is None:
        return None
    if not isinstance(trees, tuple) or len(trees) != n:  # pyright: ignore[reportUnknownArgumentType]
        raise ParamsError(f"expected a tuple of {n}, one for each copy, got {describe(trees)}. "
                          "jseq.unstack_params(params) makes it of a stacked tree.")  # fmt: skip
    return stack_params(trees)  # pyright: ignore[reportUnknownArgumentType]


def check_leading(params: Any, n: int) -> None:
    """Refuses params that are not stacked n high."""
    if any(jnp.shape(leaf)[:1] != (n,) for leaf in jax.tree.leaves(params)):
        raise ParamsError(f"expected params with a leading axis of {n}, one entry for each copy, got "
                          f"{describe(params)}. jseq.stack_params(params) makes them of a tuple.")  # fmt: skip


def check_kept(x: Any, y: Any) -> None:
    """Refuses a repeated layer that changes the shape or dtype."""
    if describe(x) != describe(y):
        raise ShapeError(f"expected a repeated layer to keep shape and dtype, got {describe(y)} of {describe(x)}.")


@layer
def remat(layer: Layer | Any, policy: str | None = None):
    """Recomputes a layer's activations in the backward pass instead of keeping them: memory for time.

    Args:
        layer: the layer to recompute.
        policy: name of one of `jax.checkpoint_policies`, which says what is kept all the same, such as
            "dots_saveable"; None keeps nothing.

    Input, Output, Params, State, Context: those of the layer.

    Raises:
        OptionError: no policy has this name.

    Follows `torch.utils.checkpoint` and `jax.checkpoint` (Chen et al. 2016, arXiv:1604.06174).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.remat(jseq.sequential(jseq.linear(4, 64), jseq.gelu(), jseq.linear(64, 4)))
        >>> model.apply(model.init(jax.random.key(0)), jnp.ones((2, 4))).shape
        (2, 4)
    """
    child = inner(layer)
    known = [name for name in dir(jax.checkpoint_policies) if not name.startswith("_")]
    if policy is not None and policy not in known:
        raise OptionError(f"no policy is called {policy!r}.{near_misses(policy, known)} Known: {', '.join(known)}.")
    chosen = None if policy is None else getattr(jax.checkpoint_policies, policy)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        return child.init(key, x)[:2]

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        def run(params: Any, state: Any, x: Any, key: Any, context: Context) -> tuple[Any, Any]:
            return child.apply(params, state, x, key=key, train=train, context=context)

        return jax.checkpoint(run, policy=chosen)(params, state, x, key, context)

    return init, apply, child.layer
