"""Arrays of their own, learned and fixed, for models whose forward reads one beside their layers."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq._layers.initial import Initializer
from jseq._layers.options import at_least
from jseq.core import layer
from jseq.errors import OptionError


@layer
def parameter(shape: tuple[int, ...], *, weight_init: Initializer | None = None):
    """Gives a learned array, whatever x holds: `y = weight`.

    For a `graph` in which a step reads an array of its own, such as the class token of a vision transformer.

    Args:
        shape: the sizes of the array.
        weight_init: `(key, shape, dtype) -> array`; None is zeros.

    Input: anything.
    Output: `shape`, in the dtype of the floating arrays of x; in the param's if they have none, or several.
    Params: `weight (*shape)`; in a torch state dict it has the layer's own name, as an `nn.Parameter` has.

    Raises:
        OptionError: shape is no tuple, or a size is negative.

    Follows `torch.nn.Parameter`, as an attribute that a module's `forward` reads.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.graph(
        ...     {"token": jseq.parameter((1, 4)), "join": jseq.concatenate(0)},
        ...     {"t": ("token", "x"), "y": ("join", "t", "x")},
        ... )
        >>> model.apply(model.init(jax.random.key(0)), jnp.ones((3, 4))).shape
        (4, 4)
    """
    check_shape(shape, "parameter((1, 4))")

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return {"weight": weight_init(key, shape) if weight_init else jnp.zeros(shape)}

    def apply(params: dict[str, jax.Array], x: Any) -> jax.Array:
        return in_dtype_of(x, params["weight"])

    return init, apply


@layer
def buffer(shape: tuple[int, ...], dtype: str = "float32"):
    """Gives a fixed array that is kept as state, whatever x holds: `y = value`.

    Nothing but a file or a state dict says its numbers: a table of positions, a mask.

    Args:
        shape: the sizes of the array.
        dtype: the name of its dtype: "float32", "int32", "bool".

    Input: anything.
    Output: `shape`; a floating array in the dtype of the floating arrays of x, if they have one.
    Params: none, `()`.
    State: `value (*shape)`, zeros at first; in a torch state dict it has the layer's own name, as a buffer has.

    Raises:
        OptionError: shape is no tuple, a size is negative, or dtype is no name of one.

    Follows `torch.nn.Module.register_buffer`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> init, apply = jseq.with_state(jseq.buffer((2,)))
        >>> params, state = init(jax.random.key(0))
        >>> apply(params, {"value": jnp.array([1.0, 2.0])}, jnp.ones(3))[0]
        Array([1., 2.], dtype=float32)
    """
    check_shape(shape, "buffer((1, 4))")
    try:
        numbers = jnp.dtype(dtype)
    except TypeError:
        raise OptionError(f'expected dtype to be a name such as "float32" or "bool", got {dtype!r}.') from None

    def init(key: jax.Array, x: Any) -> tuple[tuple[()], dict[str, jax.Array]]:
        return (), {"value": jnp.zeros(shape, numbers)}

    def apply(params: tuple[()], state: dict[str, jax.Array], x: Any) -> tuple[jax.Array, Any]:
        return in_dtype_of(x, state["value"]), state

    return init, apply


def check_shape(shape: Any, call: str) -> None:
    """Refuses what is no tuple of sizes."""
    if not isinstance(shape, tuple):
        raise OptionError(f"expected shape to be a tuple of sizes, got {shape!r}. The call that works: {call}.")
    at_least(0, **{f"shape[{i}]": size for i, size in enumerate(shape)})  # pyright: ignore[reportUnknownArgumentType]


def in_dtype_of(x: Any, array: jax.Array) -> jax.Array:
    """A floating array in the dtype of the floating arrays of x, if they have one; any other as it is."""
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.floating)}
    one = len(dtypes) == 1 and jnp.issubdtype(array.dtype, jnp.floating)
    return array.astype(dtypes.pop()) if one else array
