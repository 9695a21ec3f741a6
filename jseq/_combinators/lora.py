"""Low-rank adapters: fine-tuning a few numbers beside frozen weights."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.children import Children
from jseq._core import editing
from jseq._core.checks import by_path, fits, misfit
from jseq._core.keys import child_key, stable_number
from jseq._core.shaping import made_with_key
from jseq._layers.initial import draw
from jseq._layers.options import at_least
from jseq.core import Layer, layer
from jseq.errors import CallError, OptionError, ParamsError, describe


@layer
def lora(layer: Layer | Any, rank: int, alpha: float | None = None, *, select: str | tuple[str, ...] = "**/weight"):
    """Trains low-rank changes of frozen weights: `y = f(W + alpha / rank * a @ b, x)`.

    The layer's own params stand under "base" and get no gradient; b starts at zero, so the model starts as the base
    does. Optimise `params["lora"]` alone: `jax.grad(lambda l: loss({"base": params["base"], "lora": l}))`.
    `merge_lora` gives the plain layer with the changed weights. Each call adds the product to the weight, which
    costs rank multiplications for each of its numbers, whatever the batch.

    Args:
        layer: the model to adapt; `init` with the same key gives the base the params that the model would have.
        rank: number of columns of a and rows of b.
        alpha: weight of the change, divided by the rank; None is rank, so a factor of 1.
        select: pattern of paths, or a tuple of them: `*` within one name, `**` over any number of names. Patterns
            choose weights of two axes (linear layers, embeddings) and pass over others.

    Input, Output, Context: those of the layer.
    Params: `base`: those of the layer; `lora`: for each path `a (in, rank)`, drawn from torch's uniform
        distribution of a linear layer, and `b (rank, out)`, zeros.
    State: `base`: that of the layer.

    Raises:
        OptionError: rank below 1, alpha not above 0, or a pattern that chooses no weight of two axes.
        ParamsError: adapters that do not fit the base.

    Hu et al. 2021, arXiv:2106.09685.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.lora(jseq.sequential(jseq.linear(8, 8), jseq.relu(), jseq.linear(8, 2)), rank=2)
        >>> params = model.init(jax.random.key(0))
        >>> {path: (ab["a"].shape, ab["b"].shape) for path, ab in params["lora"].items()}
        {'0.weight': ((8, 2), (2, 8)), '2.weight': ((8, 2), (2, 2))}
    """
    at_least(1, rank=rank)
    if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, int | float) or not alpha > 0):
        raise OptionError(f"expected alpha to be a number above 0, or None for the rank, got {alpha!r}.")
    scale = 1.0 if alpha is None else alpha / rank
    patterns = paths.as_paths(select)
    children = Children({"base": layer}, main="base")
    child = children.children[0]
    shapes = paths.declared(child.layer)
    if shapes is not None:
        chosen(shapes, patterns)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        base, state, _ = child.init(key, x)
        adapters = {path: adapter(child_key(key, stable_number(f"lora:{path}")), paths.get(base, path), rank)
                    for path in chosen(base, patterns)}  # fmt: skip
        return {"base": base, "lora": adapters}, {"base": state}

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        (inner_state,) = children.split(state, "state")
        base, adapters = check_adapters(params, patterns, rank)
        full = adapted(jax.lax.stop_gradient(base), adapters, scale)
        y, inner_state = child.apply(full, inner_state, x, key=key, train=train, context=context)
        return y, children.join([inner_state])

    return init, apply, children.layers


def chosen(base: Any, patterns: tuple[str, ...]) -> list[str]:
    """The paths of the weights to adapt."""
    leaves = by_path(base)
    matrices = [path for path, leaf in leaves.items() if len(leaf.shape) == 2]
    found: list[str] = []
    for pattern in patterns:
        matched = paths.matching(matrices, pattern)
        others = paths.matching(leaves, pattern)
        if others and not matched:
            raise OptionError(f"expected weights of two axes, got {describe(leaves[others[0]])} at {others[0]!r}.")
        if not matched:
            raise OptionError(f"no weight of two axes matches {pattern!r}.{paths.hint(matrices, pattern)}")
        found += [path for path in matched if path not in found]
    return found


def adapter(key: jax.Array, weight: jax.Array, rank: int) -> dict[str, jax.Array]:
    """The two halves of the change of one weight: zero together."""
    rows, columns = weight.shape
    a = draw(None, key, (rows, rank), rows).astype(weight.dtype)
    return {"a": a, "b": jnp.zeros((rank, columns), weight.dtype)}


def adapted(base: Any, adapters: dict[str, dict[str, jax.Array]], scale: float) -> Any:
    """The params of the base with the changed weights."""
    for path, pair in adapters.items():
        weight = paths.get(base, path)
        change = scale * jnp.dot(pair["a"], pair["b"], precision="highest")
        base = paths.replace(base, path, weight + change.astype(weight.dtype))
    return base


def check_adapters(params: Any, patterns: tuple[str, ...], rank: int) -> tuple[Any, dict[str, Any]]:
    """Takes base and adapters apart; refuses adapters of other weights or of another rank."""
    if not isinstance(params, dict) or set(params) != {"base", "lora"}:
        raise ParamsError(f"expected params to be a dict of base, lora, got {describe(params)}. Around params of the "
                          'base itself: {"base": params, "lora": model.init(key, x)["lora"]}.')  # fmt: skip
    base, adapters = params["base"], params["lora"]

    def run(key: Any, base: Any) -> dict[str, Any]:
        return {path: adapter(key, paths.get(base, path), rank) for path in chosen(base, patterns)}

    wanted = made_with_key(run, base)
    if not fits(wanted, adapters):
        raise ParamsError(f"adapters do not fit: {misfit(wanted, adapters)}. Make them with this model's init.")
    return base, adapters


def merge_lora(model: Layer, params: Any) -> tuple[Layer, Any]:
    """Adds the adapters to the weights for good: the plain model without `lora`, and its params.

    Takes a `lora` layer, or a `sequential`, `branch` or other container of layers that has `lora` layers in it.
    `base` and `lora` in state go the same way: `state["base"]` is the state of the plain layer.

    Raises:
        CallError: no `lora` layer is found, or one stands inside another layer than a container.
        ParamsError: params of another model.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.lora(jseq.linear(8, 8), rank=2), jseq.relu())
        >>> plain, merged = jseq.merge_lora(model, model.init(jax.random.key(0)))
        >>> plain, merged[0]["weight"].shape
        (jseq.sequential(jseq.linear(8, 8), jseq.relu()), (8, 8))
    """
    if not isinstance(model, Layer):
        raise CallError(f"merge_lora takes (model, params), got {describe(model)}.")
    if not holds_lora(model):
        raise CallError("no lora layer is in this model, so there is nothing to merge.", model.brief)
    return merged(model, params)


def holds_lora(model: Layer) -> bool:
    """Whether this is a `lora` layer or has one inside."""
    inside = model.children.values() if isinstance(model.children, Mapping) else model.children
    return model.constructor is lora or any(holds_lora(child) for child in inside)


def merged(model: Layer, params: Any) -> tuple[Layer, Any]:
    """`merge_lora` of one layer: itself where it holds no adapters."""
    if not holds_lora(model):
        return model, params
    if model.constructor is lora:
        arguments = model.arguments
        alpha, rank = arguments["alpha"], arguments["rank"]
        base, adapters = check_adapters(params, paths.as_paths(arguments["select"]), rank)
        plain, scale = model.children["base"], 1.0 if alpha is None else alpha / rank  # pyright: ignore
        return merged(plain, adapted(base, adapters, scale))
    if model.wraps or "layers" not in model.arguments:
        raise CallError("merge_lora looks into sequential and other containers of layers, not into this. "
                        "Merge the part itself.", model.brief)  # fmt: skip
    children = Children(editing.entries(model) if isinstance(model.children, Mapping) else model.arguments["layers"])
    pairs = [merged(child.layer, p) for child, p in zip(children, children.split(params, "params"), strict=True)]
    entries = [(name, given if made == child.layer else made) for (name, given), child, (made, _) in
               zip(editing.entries(model).items(), children, pairs, strict=True)]  # fmt: skip
    return editing.rebuilt(model, entries, children.named), children.join([p for _, p in pairs])
