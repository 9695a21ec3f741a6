"""Weights in 8 or 4 bits, and the layer that reads them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.children import inner
from jseq._combinators.weights import weights
from jseq._core.calls import expected_trees
from jseq._core.checks import by_path, fits, misfit
from jseq._core.watching import WATCH
from jseq._layers.embedding import embedding
from jseq._layers.linear import linear
from jseq.core import Layer, as_layer, layer
from jseq.errors import OptionError, ParamsError
from jseq.functional import quantized as arithmetic
from jseq.functional.quantized import BITS, Format
from jseq.functional.sharded import split_axes

rounded = jax.jit(arithmetic.quantize, static_argnums=1)  # one program for what init computes


@layer
def quantized(
    layer: Layer | Any, bits: int = 8, group_size: int | None = None, *, select: str | tuple[str, ...] | None = None
):
    """Applies a layer whose weights are held in 8 or 4 bits, for inference: `weight = q * scale`.

    q is an integer from -127 to 127 (-7 to 7), the scale `max |weight| / 127` (7) of its output channel, of its row in
    a table. Weights are made floating where they are used; of a linear layer `y = (x @ q) * scale + bias`, on CPU some
    columns at a time. `jseq.quantize` makes such layers, and their params, of a model and its params.

    Args:
        layer: the layer. Weights are its params of two axes or more that are called weight (`in_proj_weight`,
            `weight_ih_l0`), but for those of norms.
        bits: 8, or 4: two to a byte.
        group_size: how many numbers along the input axis share a scale, such as 32 or 64: less error in 4 bits. None
            for one scale for each output channel.
        select: path of a weight in the layer, or a tuple of paths; None for all.

    Input, Output, State, Context: those of the layer.
    Params: those of the layer with each weight as int8, of the same shape (with 4 bits, half as long along the input
        axis: -2, or -1 in a table), and `weight_scale` beside it, of length 1, or one for each group, along that
        axis, and 1 along a convolution's window. Gradients with respect to x, scales and biases are as ever; JAX
        refuses those of integers.

    Raises:
        OptionError: another number of bits, a group_size below 1, a path that is no weight (at construction, or at
            `init` where sizes are inferred), or a layer without weights.
        ParamsError: params that are not quantised so.

    Follows weight-only quantisation as in LLM.int8 and GPTQ (arXiv:2208.07339, arXiv:2210.17323), rounding to nearest.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.quantized(jseq.linear(64, 32), bits=4)
        >>> params = jax.jit(layer.init)(jax.random.key(0))
        >>> {name: (leaf.dtype.name, leaf.shape) for name, leaf in sorted(params.items())}
        {'bias': ('float32', (32,)), 'weight': ('int8', (32, 32)), 'weight_scale': ('float32', (1, 32))}
        >>> jax.jit(layer.apply)(params, jnp.ones((8, 64))).shape
        (8, 32)
    """
    child = inner(layer)
    check_options(bits, group_size)
    names = None if select is None else paths.as_paths(select)
    declared = paths.declared(child.layer)
    known = None if declared is None else formats(child.layer, declared, bits, group_size, names)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state, _ = child.init(key, x)
        forms = formats(child.layer, params, bits, group_size, names)
        held = {path: rounded(paths.get(params, path), form) for path, form in forms.items()}
        return with_held(params, held), state

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        wanted = expected_trees(child.layer, x)[0] if declared is None else declared
        forms = known or formats(child.layer, wanted, bits, group_size, names)
        check(wanted, params, forms)
        quick = None if WATCH.watcher is not None else quick_form(child.layer, params, x)
        if quick is not None:
            with jax.named_scope(child.scope):
                return quick(params, x, forms["weight"]), state
        return child.apply(floating(params, forms), state, x, key=key, train=train, context=context)

    return init, apply, child.layer


def check_options(bits: Any, group_size: Any) -> None:
    """Refuses other numbers of bits, and groups that are none."""
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in BITS:
        raise OptionError(f"expected bits to be 8 or 4, got {bits!r}.")
    if group_size is not None and (isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1):
        raise OptionError(f"expected group_size to be a whole number from 1, or None for one scale for each output "
                          f"channel, got {group_size!r}.")  # fmt: skip


def quick_form(layer: Layer, params: Any, x: Any) -> Any:
    """How to apply a layer without making its whole weight floating first; None where the layer itself is applied.

    That is where x does not fit, so that the error is the layer's own, and where an array is split over a mesh of
    explicit axes.
    """
    given = layer.arguments
    if not hasattr(x, "ndim") or any(any(split_axes(a)) for a in (x, *jax.tree.leaves(params))):
        return None
    if layer.constructor is embedding and is_plain_table(given) and jnp.issubdtype(x.dtype, jnp.integer):
        return lambda params, x, form: arithmetic.embedding(x, params["weight"], params["weight_scale"], form)
    fits_x = layer.constructor is linear and x.ndim and x.shape[-1] == (given["in_features"] or x.shape[-1])
    if not fits_x or not jnp.issubdtype(x.dtype, jnp.floating):
        return None
    return lambda params, x, form: arithmetic.linear(
        x, params["weight"], params["weight_scale"], params.get("bias"), form
    )


def is_plain_table(given: Mapping[str, Any]) -> bool:
    """Whether an embedding does nothing but look rows up."""
    return given["max_norm"] is None and given["padding_idx"] is None and not given["scale_grad_by_freq"]


def formats(
    layer: Layer, params: Any, bits: int, group_size: int | None, names: tuple[str, ...] | None
) -> dict[str, Format]:
    """How to hold the weights that were named, or all, by path."""
    found = weights(layer, params)
    for name in names or ():
        if name not in found:
            raise OptionError(f"{name!r} is no weight of this layer.{paths.hint(found, name)}")
    if not found:
        raise OptionError(f"{layer.brief} has no weights to quantise.")
    return {
        path: form._replace(bits=bits, group_size=group_size)
        for path, form in found.items()
        if names is None or path in names
    }


def with_held(tree: Any, held: Mapping[str, tuple[Any, Any]], path: str = "") -> Any:
    """The params with some weights as they are held, each with its scale beside it."""
    if isinstance(tree, tuple):
        return tuple(with_held(entry, held, paths.joined(path, str(i))) for i, entry in enumerate(tree))  # pyright: ignore
    if not isinstance(tree, dict):
        return tree
    made: dict[str, Any] = {}
    for name, entry in tree.items():  # pyright: ignore[reportUnknownVariableType]
        here = paths.joined(path, str(name))  # pyright: ignore[reportUnknownArgumentType]
        if here in held:
            made[name], made[f"{name}_scale"] = held[here]
        else:
            made[name] = with_held(entry, held, here)
    return made


def floating(tree: Any, forms: Mapping[str, Format], path: str = "") -> Any:
    """Undoes `with_held`: the params of the layer inside."""
    if isinstance(tree, tuple):
        return tuple(floating(entry, forms, paths.joined(path, str(i))) for i, entry in enumerate(tree))  # pyright: ignore
    if not isinstance(tree, dict):
        return tree
    made: dict[str, Any] = {}
    for name, entry in tree.items():  # pyright: ignore[reportUnknownVariableType]
        here = paths.joined(path, str(name))  # pyright: ignore[reportUnknownArgumentType]
        if here in forms:
            made[name] = arithmetic.dequantize(entry, tree[f"{name}_scale"], forms[here])  # pyright: ignore
        elif here.removesuffix("_scale") not in forms:
            made[name] = floating(entry, forms, here)
    return made


def plain_params(layer: Layer, params: Any, x: Any) -> Any:
    """The params of the layer inside a `quantized` one, made floating; x decides sizes that are not declared."""
    child, bits, group_size, select = (layer.arguments[name] for name in ("layer", "bits", "group_size", "select"))
    child = as_layer(child)
    wanted = expected_trees(child, x)[0]
    forms = formats(child, wanted, bits, group_size, None if select is None else paths.as_paths(select))
    check(wanted, params, forms)
    return floating(params, forms)


def check(wanted: Any, params: Any, forms: Mapping[str, Format]) -> None:
    """Refuses params that are not held in these formats."""
    held: dict[str, tuple[Any, Any]] = {}
    for path, form in forms.items():
        shapes, dtypes = form.shapes, (jnp.int8, paths.get(wanted, path).dtype)
        held[path] = jax.ShapeDtypeStruct(shapes[0], dtypes[0]), jax.ShapeDtypeStruct(shapes[1], dtypes[1])
    wanted = with_held(wanted, held)
    wrong = misfit(wanted, params) if not fits(wanted, params) else "; ".join(
        f"{path} is {leaf.dtype}, not int8" for path, leaf in by_path(params).items()
        if path in forms and leaf.dtype != jnp.int8
    )  # fmt: skip
    if wrong:
        raise ParamsError(f"params do not fit: {wrong}. The call that makes them: "
                          "model, params = jseq.quantize(model, params).")  # fmt: skip
