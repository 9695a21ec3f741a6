"""Grouped-query attention at rotary positions."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.attention import attend_plainly, check_heads, with_dropout
from jseq._layers.initial import draw, inferred
from jseq._layers.options import at_least, inferable
from jseq.core import layer
from jseq.errors import CallError, OptionError, expect_rank
from jseq.functional.attention import check_window
from jseq.functional.dropout import check_probability
from jseq.functional.multihead import join_masks, merge_heads, split_heads


@layer(context=("mask", "key_padding_mask", "positions"))
def grouped_query_attention(
    embed_dim: int | None,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int | None = None,
    dropout: float = 0.0,
    *,
    bias: bool = False,
    is_causal: bool = True,
    window: int | None = None,
    rotary: bool = True,
    base: float = 10000.0,
    interleaved: bool = False,
):
    """Attends with groups of query heads that share keys and values, at rotary positions.

    `y = concat_h(softmax(r(q_h) r(k_g)^T / sqrt(head_dim) + mask) v_g) W_o`, g the group of head h, r the
    rotation of `jseq.functional.rotary_embedding`. The attention of Llama, Mistral and their like.

    Args:
        embed_dim: size of the last axis; None infers it from x at `init`.
        num_heads: number of query heads.
        num_kv_heads: number of key and value heads, a divisor of num_heads: 1 is multi-query attention.
        head_dim: features of a head; None for embed_dim / num_heads.
        dropout: probability of dropping a weight of the softmax in training. Above 0, training needs a key.
        bias: whether the projections have biases.
        is_causal: whether position t sees positions 0 to t only.
        window: with is_causal, how many positions one sees at most, itself included; None for all before it.
        rotary: whether to rotate queries and keys by their positions.
        base: of the rotation's wavelengths; the slowest is about `2 pi base` positions.
        interleaved: which features the rotation pairs; see `jseq.functional.rotary_embedding`.

    Input: `(..., T, embed_dim)`, floating.
    Output: the same shape and dtype.
    Params: `q_proj: {weight (embed_dim, num_heads * head_dim)}`, `k_proj` and `v_proj: {weight (embed_dim,
        num_kv_heads * head_dim)}`, `o_proj: {weight (num_heads * head_dim, embed_dim)}`, each with `bias` if asked.
    Context: `mask`, broadcastable to `(..., num_heads, T, T)`, True where a query may look (or floating, added);
        `key_padding_mask (..., T)`, True for real positions; `positions (..., T)`, None for 0 to T - 1.

    Raises:
        ShapeError: x or a mask does not fit.
        DtypeError: x is not floating.
        OptionError: heads that do not divide, a window without is_causal, an odd head_dim with rotary.
        CallError: `train=True` without a key, with dropout.

    After Ainslie et al. 2023, arXiv:2305.13245, and Su et al. 2021, arXiv:2104.09864; torch.nn has no counterpart.
    Initial values are those of `linear`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.grouped_query_attention(32, 8, 2, window=128)
        >>> params = layer.init(jax.random.key(0))
        >>> params["q_proj"]["weight"].shape, params["k_proj"]["weight"].shape
        ((32, 32), (32, 8))
        >>> layer.apply(params, jnp.ones((3, 5, 32))).shape
        (3, 5, 32)
    """
    inferable(embed_dim=embed_dim, head_dim=head_dim)
    at_least(1, num_heads=num_heads, num_kv_heads=num_kv_heads)
    check_probability(dropout)
    check_window(window, is_causal)
    check_heads(num_heads, num_kv_heads, "num_heads must be a multiple of num_kv_heads")
    if embed_dim is not None:
        features_of_a_head(embed_dim, num_heads, head_dim, rotary)

    def init(key: jax.Array, x: Any) -> dict[str, Any]:
        size = inferred(embed_dim, "embed_dim", x)
        own = features_of_a_head(size, num_heads, head_dim, rotary)
        shapes = {"q_proj": (size, num_heads * own), "k_proj": (size, num_kv_heads * own),
                  "v_proj": (size, num_kv_heads * own), "o_proj": (num_heads * own, size)}  # fmt: skip
        params: dict[str, Any] = {}
        for part, (name, shape) in zip(jax.random.split(key, 4), shapes.items(), strict=True):
            weight_key, bias_key = jax.random.split(part)
            params[name] = {"weight": draw(None, weight_key, shape, shape[0])}
            if bias:
                params[name]["bias"] = draw(None, bias_key, shape[1:], shape[0])
        return params

    def attend(params: Any, x: Any, context: Mapping[str, Any], key: Any = None, train: bool = False) -> jax.Array:
        expect_rank(x, 2, "(..., T, embed_dim)", "Add the missing axis: a sequence of one step is x[None].")
        heads = {"q_proj": num_heads, "k_proj": num_kv_heads, "v_proj": num_kv_heads}
        q, k, v = (split_heads(F.linear(x, params[name]["weight"], params[name].get("bias")), n)
                   for name, n in heads.items())  # fmt: skip
        if "positions" in context and not rotary:
            raise CallError("context gives positions, which this layer does not use: it has rotary=False.")
        if rotary:
            q, k = (F.rotary_embedding(a, context.get("positions"), base, interleaved) for a in (q, k))
        mask = join_masks(context.get("mask"), context.get("key_padding_mask"), x)
        y = F.scaled_dot_product_attention(q, k, v, mask, p=dropout, is_causal=is_causal, enable_gqa=True,
                                           window=window, dropout_key=key, train=train)  # fmt: skip
        return F.linear(merge_heads(y), params["o_proj"]["weight"], params["o_proj"].get("bias"))

    return init, with_dropout(attend) if dropout else attend_plainly(attend)


def features_of_a_head(embed_dim: int, num_heads: int, head_dim: int | None, rotary: bool) -> int:
    """The declared features of a head, or an equal share."""
    if head_dim is None:
        check_heads(embed_dim, num_heads)
    size = embed_dim // num_heads if head_dim is None else head_dim
    if rotary and size % 2:
        raise OptionError(f"rotary positions turn pairs of features: head_dim must be even, got {size}.")
    return size
