"""torch's multi-head attention."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.initial import draw, inferred
from jseq._layers.options import at_least, inferable
from jseq.core import layer
from jseq.errors import DtypeError, OptionError, describe, expect_key
from jseq.functional.dropout import check_probability

CALL = "apply(params, x, key=key, train=True)"


@layer(context=("mask", "key_padding_mask"))
def multihead_attention(
    embed_dim: int | None,
    num_heads: int,
    dropout: float = 0.0,
    bias: bool = True,
    add_bias_kv: bool = False,
    add_zero_attn: bool = False,
    kdim: int | None = None,
    vdim: int | None = None,
    *,
    is_causal: bool = False,
):
    """Attends with several heads: `y = concat_h(softmax(q_h k_h^T / sqrt(head_dim) + mask) v_h) W_out + b_out`.

    One array attends to itself, by one product for queries, keys and values; a tuple is (query, key, value).
    The weights of the softmax are not returned (torch's `need_weights`).

    **Masks are True where a query MAY look**, as in `jseq.functional.scaled_dot_product_attention`, in torch's
    function of that name, and in `jax.nn`. The boolean masks of torch.nn.MultiheadAttention are the inverse:
    pass `~mask`. Floating masks are added to the scores, as in torch. A query that may see nothing gets zeros
    before the output projection, not NaN.

    Args:
        embed_dim: size of the queries and of the output, a multiple of num_heads; None infers it from the
            query at `init`.
        num_heads: number of heads; each has embed_dim / num_heads features.
        dropout: probability of dropping a weight of the softmax in training. Above 0, training needs a key.
        bias: whether the projections have biases.
        add_bias_kv: whether to learn one more key and value, that every query sees.
        add_zero_attn: whether to add one more key and value of zeros, that every query sees.
        kdim: size of the keys; None for embed_dim.
        vdim: size of the values; None for embed_dim.
        is_causal: whether query t sees the keys 0 to t only.

    Input: `(..., T, embed_dim)`, or `((..., T, embed_dim), (..., S, kdim), (..., S, vdim))`, floating, of one
        dtype.
    Output: `(..., T, embed_dim)`, of that dtype.
    Params: `in_proj_weight (embed_dim, 3 embed_dim)` (with other kdim or vdim: `q_proj_weight (embed_dim,
        embed_dim)`, `k_proj_weight (kdim, embed_dim)`, `v_proj_weight (vdim, embed_dim)`), `in_proj_bias
        (3 embed_dim,)`, `out_proj: {weight (embed_dim, embed_dim), bias (embed_dim,)}`, and `bias_k`, `bias_v
        (1, 1, embed_dim)`: torch's, transposed.
    Context: `mask`, broadcastable to `(..., num_heads, T, S)`: `(T, S)` for all, `mask[:, None]` for one
        an example; `key_padding_mask (..., S)`, True for real keys.

    Raises:
        ShapeError: the inputs or masks do not fit.
        DtypeError: an input is not floating, their dtypes differ, or x is a tuple of another length.
        OptionError: num_heads does not divide embed_dim, a size is below 1, or dropout is no probability.
        CallError: `train=True` without a key, with dropout.

    Follows `torch.nn.MultiheadAttention` (Vaswani et al. 2017, arXiv:1706.03762).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.multihead_attention(8, 2)
        >>> params = layer.init(jax.random.key(0))
        >>> x = jnp.ones((3, 5, 8))
        >>> layer.apply(params, x, context={"mask": jseq.functional.causal_mask(5)}).shape
        (3, 5, 8)
        >>> layer.apply(params, (x[:, :2], x, x)).shape
        (3, 2, 8)
    """
    inferable(embed_dim=embed_dim, kdim=kdim, vdim=vdim)
    at_least(1, num_heads=num_heads)
    check_probability(dropout)
    if embed_dim is not None:
        check_heads(embed_dim, num_heads)

    def init(key: jax.Array, x: Any) -> dict[str, Any]:
        size = inferred(embed_dim, "embed_dim", None if x is None else three_arrays(x)[0])
        check_heads(size, num_heads)
        keys = jax.random.split(key, 6)
        params = projections(keys[:3], size, size if kdim is None else kdim, size if vdim is None else vdim)
        out_proj = {"weight": draw(None, keys[3], (size, size), size)}
        if bias:
            params["in_proj_bias"] = jnp.zeros(3 * size)
            out_proj["bias"] = jnp.zeros(size)
        if add_bias_kv:
            normal = jax.nn.initializers.normal(size**-0.5)  # torch: xavier_normal_ of (1, 1, embed_dim)
            params |= {"bias_k": normal(keys[4], (1, 1, size)), "bias_v": normal(keys[5], (1, 1, size))}
        return {**params, "out_proj": out_proj}

    def attend(params: Any, x: Any, context: Mapping[str, Any], key: Any = None, train: bool = False) -> jax.Array:
        packed = params.get("in_proj_weight")
        apart = tuple(params[f"{name}_proj_weight"] for name in "qkv") if packed is None else packed
        out_proj, masks = params["out_proj"], (context.get("mask"), context.get("key_padding_mask"))
        return F.multihead_attention(
            *three_arrays(x), num_heads, apart, params.get("in_proj_bias"), out_proj["weight"], out_proj.get("bias"),
            *masks, bias_k=params.get("bias_k"), bias_v=params.get("bias_v"), add_zero_attn=add_zero_attn,
            p=dropout, is_causal=is_causal, dropout_key=key, train=train,
        )  # fmt: skip

    return init, with_dropout(attend) if dropout else attend_plainly(attend)


def with_dropout(attend: Any) -> Any:
    """The `apply` of attention that drops weights: it needs a key in training."""

    def apply(params: Any, x: Any, key: jax.Array | None, train: bool, context: Mapping[str, Any]) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return attend(params, x, context, key, train)

    return apply


def attend_plainly(attend: Any) -> Any:
    """The `apply` of attention without dropout: training is evaluation."""

    def apply(params: Any, x: Any, context: Mapping[str, Any]) -> jax.Array:
        return attend(params, x, context)

    return apply


def check_heads(embed_dim: int, num_heads: int, names: str = "embed_dim must be a multiple of num_heads") -> None:
    """Refuses sizes that do not split into heads."""
    if embed_dim % num_heads:
        raise OptionError(f"{names}, got {embed_dim} and {num_heads}.")


def three_arrays(x: Any) -> tuple[Any, Any, Any]:
    """Takes `(query, key, value)` apart; one array is all three."""
    if not isinstance(x, tuple):
        return x, x, x
    if len(x) != 3:
        raise DtypeError(f"expected x to be an array or a tuple (query, key, value), got {describe(x)}. "
                         "The call that works: apply(params, (query, key, value)).")  # fmt: skip
    return x[0], x[1], x[2]


def projections(keys: jax.Array, size: int, kdim: int, vdim: int) -> dict[str, Any]:
    """The initial projections of queries, keys and values: Glorot's uniform ones."""
    glorot = jax.nn.initializers.glorot_uniform()
    if kdim == vdim == size:
        return {"in_proj_weight": glorot(keys[0], (size, 3 * size))}
    sizes = {"q": size, "k": kdim, "v": vdim}
    return {f"{name}_proj_weight": glorot(k, (n, size)) for k, (name, n) in zip(keys, sizes.items(), strict=True)}
