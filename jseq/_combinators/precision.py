"""Precision: what runs in which floating dtype."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators.children import inner
from jseq.core import Layer, layer, no_params
from jseq.errors import DtypeError, OptionError, describe, near_misses

Context = Mapping[str, Any] | None
DTYPES = ("bfloat16", "float16", "float32", "float64")


@layer
def cast(dtype: str | Any):
    """Casts floating input to a dtype; every layer after it then computes in that dtype (law 6).

    `y = x.astype(dtype)`. Put `cast("bfloat16")` first and `cast("float32")` last, and a model computes in
    bfloat16 with float32 params and float32 logits. Integers and booleans pass unchanged.

    Args:
        dtype: "bfloat16", "float16", "float32" or "float64", or the dtype itself, such as `jnp.bfloat16`.

    Input: an array, or a tuple or dict of arrays.
    Output: the same shapes; floating arrays in `dtype`.
    Params: none, `()`.

    Raises:
        OptionError: another dtype.
        DtypeError: float64, while JAX has it switched off.

    Follows `torch.nn.Module.to(dtype)`, for activations instead of params.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.cast("bfloat16"), jseq.linear(4, 8), jseq.cast("float32"))
        >>> params = model.init(jax.random.key(0))
        >>> params[1]["weight"].dtype.name, model.apply(params, jnp.ones((2, 4))).dtype.name
        ('float32', 'float32')
    """
    check_dtype(dtype)

    def apply(params: tuple[()], x: Any) -> Any:
        return cast_floats(x, available(dtype))

    return no_params, apply


@layer
def in_dtype(layer: Layer | Any, dtype: str | Any):
    """Runs one layer in another dtype: casts its input in, and its output back.

    `y = layer(x.astype(dtype)).astype(x.dtype)`: an island of float32 in a bfloat16 model, or of bfloat16 in a
    float32 one. The params stay as they are: the layer casts them itself (law 6).

    Args:
        layer: the layer or function to run in `dtype`.
        dtype: "bfloat16", "float16", "float32" or "float64", or the dtype itself, such as `jnp.bfloat16`.

    Input: what the layer takes; its floating arrays have one dtype.
    Output: what the layer gives, floating arrays in the dtype of the input. Integer input (ids for an
        embedding) has no floating dtype to go back to: the output is then left as the layer gives it.
    Params, State, Context: those of the layer.

    Raises:
        OptionError: another dtype.
        DtypeError: the floating arrays of x differ in dtype; or float64, while JAX has it switched off.

    Follows `torch.autocast(dtype=...)` around a module.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.in_dtype(jseq.softmax(-1), "float32"))
        >>> model.apply(model.init(jax.random.key(0)), jnp.ones((2, 4), jnp.bfloat16)).dtype.name
        'bfloat16'
    """
    check_dtype(dtype)
    child = inner(layer)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        return child.init(key, cast_floats(x, available(dtype)))[:2]

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        own = {a.dtype for a in jax.tree.leaves(x) if is_floating(a)}
        if len(own) > 1:
            raise DtypeError(f"expected the floating arrays of x to have one dtype, got {describe(x)}. "
                             "jseq.cast(dtype) in front gives them one.")  # fmt: skip
        inside = cast_floats(x, available(dtype))
        y, state = child.apply(params, state, inside, key=key, train=train, context=context)
        return (cast_floats(y, own.pop()) if own else y), state

    return init, apply, child.layer


def check_dtype(dtype: Any) -> None:
    """Refuses what names no floating dtype; specs hold dtypes by their names already."""
    if dtype not in DTYPES:
        raise OptionError(f"expected dtype to be one of {', '.join(DTYPES)}, got {dtype!r}."
                          f"{near_misses(str(dtype), DTYPES)}")  # fmt: skip


def available(dtype: Any) -> Any:
    """The dtype itself; refuses float64 where JAX would quietly make it float32."""
    wanted = jnp.dtype(dtype)
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise DtypeError(f"{wanted.name} is switched off in JAX. The call that works: "
                         'jax.config.update("jax_enable_x64", True) before anything else.')  # fmt: skip
    return wanted


def is_floating(a: Any) -> bool:
    """Whether an array, or its shape, is floating."""
    return bool(jnp.issubdtype(a.dtype, jnp.floating))


def cast_floats(tree: Any, dtype: Any) -> Any:
    """Casts the floating arrays of a tree, or their shapes; leaves the rest."""

    def one(a: Any) -> Any:
        if not is_floating(a):
            return a
        return jax.ShapeDtypeStruct(a.shape, dtype) if isinstance(a, jax.ShapeDtypeStruct) else a.astype(dtype)

    return jax.tree.map(one, tree)
