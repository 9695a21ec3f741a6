"""Causal attention with a cache: the keys and values of the earlier steps."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq.core import Layer
from jseq.errors import OptionError, expect_rank
from jseq.functional.multihead import merge_heads, split_heads

FORM = "(..., T, embed_dim)"
HINT = "Add the missing axis: a sequence of one step is x[None]."
WITHOUT = {"add_bias_kv": False, "add_zero_attn": False, "kdim": None, "vdim": None}


def check_attention(layer: Layer) -> None:
    """Refuses attention that looks ahead, or elsewhere."""
    if not layer.arguments["is_causal"]:
        raise OptionError(f"{layer.brief} cannot be streamed: it sees what is to come. Build it with is_causal=True.")
    for name, value in WITHOUT.items():
        if layer.arguments.get(name, value) not in (value, layer.arguments["embed_dim"]):
            raise OptionError(f"{layer.brief} cannot be streamed with {name}.")


def project(layer: Layer, params: Any, x: jax.Array, index: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries, keys and values of these steps, split into heads and rotated to their positions."""
    given, heads = layer.arguments, layer.arguments["num_heads"]
    if "in_proj_weight" in params:
        q, k, v = jnp.split(F.linear(x, params["in_proj_weight"], params.get("in_proj_bias")), 3, axis=-1)
        return split_heads(q, heads), split_heads(k, heads), split_heads(v, heads)
    kv_heads = given["num_kv_heads"]
    q, k, v = (split_heads(F.linear(x, params[name]["weight"], params[name].get("bias")), n)
               for name, n in {"q_proj": heads, "k_proj": kv_heads, "v_proj": kv_heads}.items())  # fmt: skip
    if given["rotary"]:
        places = index + jnp.arange(x.shape[-2], dtype="int32")
        q, k = (F.rotary_embedding(a, places, given["base"], given["interleaved"]) for a in (q, k))
    return q, k, v


def empty_cache(layer: Layer, params: Any, x: Any, max_length: int) -> dict[str, jax.Array]:
    """Room for the keys and values of max_length steps, and how many have passed."""
    expect_rank(x, 2, FORM, HINT)
    _, *shapes = jax.eval_shape(lambda params, x: project(layer, params, x, 0), params, x)
    key, value = (jnp.zeros((*a.shape[:-3], max_length, *a.shape[-2:]), a.dtype) for a in shapes)
    return {"key": key, "value": value, "index": jnp.zeros((), "int32")}


def attend_with_cache(
    layer: Layer, params: Any, cache: dict[str, jax.Array], x: jax.Array, key: Any = None, train: bool = False
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Writes these steps into the cache, and lets them see it up to themselves."""
    expect_rank(x, 2, FORM, HINT)
    index, given = cache["index"], layer.arguments
    q, *new = project(layer, params, x, index)
    k, v = (jax.lax.dynamic_update_slice_in_dim(cache[name], a.astype(cache[name].dtype), index, axis=a.ndim - 3)
            for name, a in zip(("key", "value"), new, strict=True))  # fmt: skip
    rows = index + jnp.arange(x.shape[-2], dtype="int32")[:, None]
    columns = jnp.arange(k.shape[-3], dtype="int32")[None, :]
    mask, window = columns <= rows, given.get("window")
    if window is not None:
        mask = mask & (columns > rows - window)
    y = F.scaled_dot_product_attention(q, k.astype(x.dtype), v.astype(x.dtype), mask, p=given["dropout"],
                                       enable_gqa=True, dropout_key=key, train=train)  # fmt: skip
    out = params["out_proj"] if "out_proj" in params else params["o_proj"]
    return F.linear(merge_heads(y), out["weight"], out.get("bias")), {"key": k, "value": v}
