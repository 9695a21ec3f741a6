"""What layers inside a model give, read and replaced."""

from collections.abc import Mapping
from typing import Any

from jseq.core import Layer


def intermediates(
    model: Layer,
    params: Any,
    x: Any,
    *select: Any,
    state: Any = None,
    replace: Mapping[str, Any] | None = None,
    key: Any = None,
    train: bool = False,
    context: Mapping[str, Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Applies a model and hands out what chosen layers inside it gave: `y, found = intermediates(...)`.

    A pure function of its arrays, under `jax.jit`, `jax.grad` and `jax.vmap` too. A selector is a pattern of paths, in
    which a layer goes by its name, its number or its kind (`encoder/*`, `**/relu*`, `blocks/3`), a constructor, or a
    predicate of the path and the layer. The layer inside a wrapper is named by its kind below the wrapper's path:
    "blocks" is what `repeat` gives, "blocks.residual" what each of its copies gives.

    With `replace`, what a layer gives is replaced before the model goes on: by a function of it, or by an array (or
    tree) of the same shape. So the gradient with respect to an inner activation is
    `jax.grad(lambda h: intermediates(model, params, x, replace={"1": h})[0].sum())`.

    Args:
        model: the model.
        params, x, key, train, context: as in `model.apply`.
        *select: selectors of layers.
        state: state, for a model that keeps it. The state after the call is not returned.
        replace: a dict from selectors to functions or arrays.

    Returns:
        y, and a dict from paths to what the layers gave, as replaced. Inside `repeat` and `ensemble` there is a
        leading axis for the copies, which an array in `replace` has too; uses of a layer in several places of a
        `graph` are stacked if they have one shape, and a tuple if not.

    Raises:
        SelectionError: a selector that selects no layer, with near misses; or a layer whose outputs do not get out:
            one that is not applied, or stands inside `recurrent` or `over_batch`.
        ShapeError: a replacement of another shape.
        CallError: the model keeps state and none is given, or a selector is none of the three.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 2))
        >>> params, x = model.init(jax.random.key(0)), jnp.ones((3, 4))
        >>> y, found = jseq.intermediates(model, params, x, "**/relu*")
        >>> {path: h.shape for path, h in found.items()}
        {'1': (3, 8)}
        >>> y, _ = jseq.intermediates(model, params, x, replace={"1": jnp.zeros_like})
        >>> bool((y == params[2]["bias"]).all())
        True
    """
    from jseq._tools import tapping

    call = {"key": key, "train": train, "context": context}
    return tapping.tapped(model, params, state, x, select, dict(replace or {}), call)
