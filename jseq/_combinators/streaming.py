"""Streaming: a sequence in pieces, with what the layer must remember as state."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jseq._combinators.cache import attend_with_cache, check_attention, empty_cache
from jseq._combinators.children import Child, inner
from jseq._layers.attention import multihead_attention
from jseq._layers.grouped_attention import grouped_query_attention
from jseq._layers.options import inferable
from jseq._layers.positions import learned_positions, rotary_embedding, sinusoidal_positions
from jseq.core import Layer, layer
from jseq.errors import CallError, OptionError, ShapeError, describe, expect_rank

ATTENTION = (multihead_attention, grouped_query_attention)
POSITIONS = (learned_positions, rotary_embedding, sinusoidal_positions)


@layer
def streaming(layer: Layer, max_length: int | None = None):
    """Applies a layer to a sequence that comes in pieces: what it remembers of the earlier ones is state.

    Feeding `x[..., :3, :]`, `x[..., 3:4, :]` and so on one after the other gives the pieces of what the layer
    gives for x at once. The params are those of the layer, so a trained model runs as it is. Every layer that looks
    along time is wrapped by itself; layers that do not (linear maps, norms, activations, embeddings) need nothing.

    What can be wrapped, and its state:

    - `rnn`, `lstm`, `gru`, `recurrent(cell)`, in one direction: `{"carry": ...}`, as return_state returns it;
    - `multihead_attention`, `grouped_query_attention`, causal: `{"key", "value", "index"}`, a cache of max_length;
    - `learned_positions`, `sinusoidal_positions`, `rotary_embedding`: `{"index"}`, how many steps have passed.

    A layer of your own can be, if it has an argument `return_state`, returns `(y, carry)` with it, and reads the
    carry to start from from `context["initial_state"]`.

    Args:
        layer: the layer.
        max_length: how many steps there may be in all; for attention and sinusoidal_positions, which have no other
            limit to the size of their table.

    Input: `(..., t, features)`, the next t steps, of one batch shape throughout: that of x at `init`.
    Output: `(..., t, out)`, what the layer gives at these steps.
    Params: those of the layer.
    State: as in the list. Evaluation writes it too (law 3 speaks of the plain pair). A fresh `init` starts a new
        sequence.

    Raises:
        OptionError: a layer that cannot be streamed: not causal, bidirectional, reversed, or not in the list; or
            max_length is missing, or given where it means nothing.
        ShapeError: `init` without x; or more steps than the table holds, where that can be seen: a single piece
            longer than it, or any overflow outside jit. Under jit that piece and all after it are NaN.
        ParamsError: the state is of another batch shape.

    The key-value cache of transformers that generate, as far as torch.nn goes without a counterpart.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer, x = jseq.gru(3, 4), jnp.ones((2, 5, 3))
        >>> init, apply = jseq.with_state(jseq.streaming(layer))
        >>> params, state = init(jax.random.key(0), x)
        >>> first, state = apply(params, state, x[:, :4])
        >>> last, state = apply(params, state, x[:, 4:])
        >>> bool(jnp.allclose(last, layer.apply(params, x)[:, 4:], atol=1e-6))
        True
    """
    memory = memory_of(layer, max_length)
    child = inner(memory.layer)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        if x is None:
            raise ShapeError("the state has the batch shape of x. The call that works: init(key, x).")
        params, state, _ = child.init(key, x)
        if jax.tree.leaves(state):
            raise CallError("a layer inside that keeps state of its own cannot be streamed.")
        return params, memory.start(child, params, x)

    def apply_random(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return memory.step(child, params, state, x, {"key": key, "train": train})

    def apply(params: Any, state: Any, x: Any) -> tuple[Any, Any]:
        return memory.step(child, params, state, x, {})

    return init, apply_random if child.layer.uses_key else apply


class Kind(NamedTuple):
    """How one kind of layer is streamed.

    Args:
        layer: the layer that runs, with the params of the one that was given.
        start: `(child, params, x) -> state`.
        step: `(child, params, state, x, options) -> (y, state)`.
    """

    layer: Layer
    start: Callable[[Child, Any, Any], Any]
    step: Callable[[Child, Any, Any, Any, Mapping[str, Any]], tuple[Any, Any]]


def memory_of(layer: Any, max_length: int | None) -> Kind:
    """Finds how a layer is streamed; refuses one that cannot be."""
    if not isinstance(layer, Layer):
        raise OptionError(f"streaming takes a layer, got {layer!r:.60}.")
    if max_length is not None:
        inferable(max_length=max_length)
    bounded = layer.constructor in (*ATTENTION, sinusoidal_positions)
    if bounded != (max_length is not None):
        fix = "a number of steps, max_length=1024" if bounded else "no max_length"
        raise OptionError(f"{layer.name} is streamed with {fix}, got max_length={max_length}.")
    if layer.constructor in ATTENTION:
        return attention_kind(layer, max_length or 0)
    if layer.constructor in POSITIONS:
        return positions_kind(layer, max_length)
    if "initial_state" in layer.reads and "return_state" in layer.arguments:
        return carry_kind(layer)
    raise OptionError(f"{layer.brief} cannot be streamed. Recurrent layers, causal attention and positions can; wrap "
                      "each of them inside the model, and leave the layers that do not look along time.")  # fmt: skip


def carry_kind(layer: Layer) -> Kind:
    """Recurrent layers: the last carry is the next initial state."""
    for option in ("bidirectional", "reverse"):
        if layer.arguments.get(option):
            raise OptionError(f"{layer.brief} cannot be streamed: with {option}=True the last step comes first.")
    carrying = layer.constructor(**{**layer.arguments, "return_state": True})

    def start(child: Child, params: Any, x: Any) -> Any:
        carry = jax.eval_shape(lambda params, x: child.apply(params, None, x)[0][1], params, x)
        return {"carry": jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), carry)}

    def step(child: Child, params: Any, state: Any, x: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
        context = {"initial_state": jax.tree.map(lambda a: a.astype(x.dtype), state["carry"])}
        (y, carry), _ = child.apply(params, None, x, context=context, **options)
        carry = jax.tree.map(lambda new, old: new.astype(old.dtype), carry, state["carry"])
        return ((y, carry) if layer.arguments["return_state"] else y), {"carry": carry}

    return Kind(carrying, start, step)


def attention_kind(layer: Layer, max_length: int) -> Kind:
    """Causal attention: keys and values of the earlier steps."""
    check_attention(layer)

    def start(child: Child, params: Any, x: Any) -> Any:
        return empty_cache(layer, params, x, max_length)

    def step(child: Child, params: Any, state: Any, x: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
        overflow = passed(state["index"], x.shape[-2], max_length, x)
        y, cache = attend_with_cache(layer, params, state, x, **options)
        return spoiled(y, overflow), {**cache, "index": state["index"] + x.shape[-2]}

    return Kind(layer, start, step)


def positions_kind(layer: Layer, max_length: int | None) -> Kind:
    """Positions: how many steps have passed."""
    size = max_length or layer.arguments.get("num_positions")
    axis = -3 if layer.constructor is rotary_embedding else -2

    def start(child: Child, params: Any, x: Any) -> Any:
        return {"index": jnp.zeros((), "int32")}

    def step(child: Child, params: Any, state: Any, x: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
        expect_rank(x, -axis, "(..., T, heads, head_dim)" if axis == -3 else "(..., T, features)")
        length, index = x.shape[axis], state["index"]
        after = {"index": index + length}
        if size is None:
            places = index + jnp.arange(length, dtype=index.dtype)
            return child.apply(params, None, x, context={"positions": places})[0], after
        overflow = passed(index, length, size, x)
        # The layer's own rows for the whole table, of which these steps take theirs.
        rows = child.apply(params, None, jnp.zeros((size, x.shape[-1]), x.dtype))[0]
        rows = jax.lax.dynamic_slice_in_dim(rows, index, length)
        return spoiled(x + rows.reshape((1,) * (x.ndim - 2) + rows.shape), overflow), after

    return Kind(layer, start, step)


def passed(index: jax.Array, length: int, size: int, x: Any) -> jax.Array:
    """Whether these steps pass the end of the table: an error where it can be seen, else an array of truth."""
    try:
        known = int(index)
    except jax.errors.ConcretizationTypeError:  # under jit
        known = 0
    if known + length > size:
        raise ShapeError(f"expected at most {size} steps in all, got {known} and {length} more, {describe(x)}. "
                         "A fresh init starts a new sequence.")  # fmt: skip
    return index + length > size


def spoiled(y: jax.Array, overflow: jax.Array) -> jax.Array:
    """NaN after an overflow that no error can tell: wrong numbers would pass for right ones."""
    return jnp.where(overflow, jnp.full((), jnp.nan, y.dtype), y)
