"""`from_stax` makes a layer of a pair `(init_fun, apply_fun)`: the two functions are all that is needed of stax."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jseq.core import layer
from jseq.errors import OptionError, ShapeError, describe

Function = Callable[..., Any]
FORM = "(init_fun, apply_fun), as stax.serial(...) returns it"


@layer
def from_stax(pair: tuple[Function, Function], input_shape: Any = None, train_pair: Any = None):
    """Makes a layer of a pair of `jax.example_libraries.stax`: `y = apply_fun(params, x)`.

    Whatever follows stax's convention will do: `shape, params = init_fun(rng, input_shape)` and
    `y = apply_fun(params, x, rng=None)`. The params are those of init_fun, tree and values, so that params trained
    in stax fit as they are. They are cast to the dtype of x.

    In stax, dropout is switched on and off where the model is built. Build it twice, in mode "train" for `train_pair`
    and in mode "test" for `pair`: training then applies the first with rng=key, evaluation the second.

    Args:
        pair: the two functions.
        input_shape: as stax takes it, with -1 for the batch, `(-1, 28, 28, 1)`; a tuple of shapes for several inputs.
            None infers it from x.
        train_pair: the two functions in training; None is `pair`. Its params are those of `pair`.

    Input: as apply_fun takes it.
    Output: as apply_fun returns it, lists as tuples.
    Params: as init_fun returns them.

    Raises:
        OptionError: no pair of functions.
        ShapeError: x does not have the sizes of `input_shape`, axis 0 and those of -1 aside.

    A pair of closures has no name that a file can hold: `jseq.to_config` refuses it, and it does not pickle. The
    layers of `jseq` with the same params do.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> from jax.example_libraries import stax
        >>> model = jseq.sequential(jseq.from_stax(stax.serial(stax.Dense(8), stax.Relu), (-1, 4)), jseq.linear(8, 2))
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, jnp.ones((3, 4))).shape
        (3, 2)
    """
    init_fun, evaluate = functions(pair, "pair")
    _, fit = functions(pair if train_pair is None else train_pair, "train_pair")

    def init(key: Any, x: Any) -> Any:
        shape = input_shape if input_shape is not None else shapes(x)
        _, params = init_fun(key, shape)  # stax.parallel returns an iterator
        return params

    def apply(params: Any, x: Any, key: Any, train: bool) -> Any:
        if input_shape is not None:
            check_sizes(x, input_shape)
        params = jax.tree.map(lambda leaf: cast(leaf, dtype_of(x)), params)
        if train:
            return as_tuples(call(fit, params, x, key))
        # stax's dropout asks for a key in mode "test" too, and does not use it.
        return as_tuples(call(evaluate, params, x, None if train_pair is None else jax.random.key(0)))

    return init, apply


def functions(pair: Any, name: str) -> tuple[Function, Function]:
    """Refuses what is no pair of functions."""
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(callable(part) for part in pair)):
        raise OptionError(f"expected {name} to be {FORM}, got {pair!r:.60}.")
    return pair


def shapes(x: Any) -> Any:
    """The shape of x, or a tuple of those of several inputs."""
    if x is None:
        raise ShapeError("input_shape is None, so it is inferred from x. The call that works: model.init(key, x).")
    return tuple(shapes(part) for part in x) if isinstance(x, tuple) else tuple(x.shape)


def check_sizes(x: Any, shape: Any) -> None:
    """Refuses x whose sizes are not those declared, counted from the last axis: batch axes may come or go."""
    several = isinstance(x, tuple) and len(shape) == len(x) and all(isinstance(part, tuple) for part in shape)
    if several:
        for part, wanted in zip(x, shape, strict=True):
            check_sizes(part, wanted)
        return
    sizes = getattr(x, "shape", ())
    declared = shape[1:] if all(isinstance(size, int) for size in shape) else None
    pairs = zip(reversed(declared or ()), reversed(sizes), strict=False)
    if isinstance(x, tuple) or declared is None or any(want not in (-1, size) for want, size in pairs):
        raise ShapeError(f"expected x of the sizes of input_shape={shape}, got {describe(x)}.")


def dtype_of(x: Any) -> Any:
    """The floating dtype of the inputs, or None."""
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.floating)}
    return dtypes.pop() if len(dtypes) == 1 else None


def cast(leaf: Any, dtype: Any) -> Any:
    """Casts floats, and leaves the rest."""
    return leaf if dtype is None or not jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.astype(dtype)


def call(apply_fun: Function, params: Any, x: Any, key: Any) -> Any:
    """Applies, with rng if there is a key and the function takes one."""
    parameters = inspect.signature(apply_fun).parameters.values()
    takes = any(p.name == "rng" or p.kind is p.VAR_KEYWORD for p in parameters)
    return apply_fun(params, x, rng=key) if takes and key is not None else apply_fun(params, x)


def as_tuples(y: Any) -> Any:
    """Several outputs are a tuple, as everywhere in jseq; stax has lists."""
    return tuple(as_tuples(part) for part in y) if isinstance(y, list | tuple) else y
