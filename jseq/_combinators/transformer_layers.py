"""One layer of a transformer's encoder, and one of its decoder."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from jseq._combinators.block import Block, activation_layer, dropout_or_identity, init_parts, named_masks, widened
from jseq._combinators.children import Children
from jseq._layers.attention import multihead_attention
from jseq._layers.linear import linear
from jseq._layers.normalisation import layer_norm
from jseq._layers.options import at_least
from jseq._layers.pairs import two_arrays
from jseq.core import Layer, layer
from jseq.errors import CallError
from jseq.functional.dropout import check_probability

Activation = str | Callable[[Any], Any] | Layer


@layer(context=("src_mask", "src_key_padding_mask"))
def transformer_encoder_layer(
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: Activation = "relu",
    layer_norm_eps: float = 1e-5,
    norm_first: bool = False,
    bias: bool = True,
    *,
    is_causal: bool = False,
):
    """Attends to itself, then feeds forward: `h = norm1(x + attend(x))`, `y = norm2(h + feed(h))`.

    `feed(h) = linear2(dropout(activation(linear1(h))))`; dropout also stands after both branches and in the
    attention. With norm_first, `h = x + attend(norm1(x))`, `y = h + feed(norm2(h))`.

    **Masks are True where a query MAY look** (torch's boolean ones are the inverse: pass `~mask`); floating ones
    are added to the scores.

    Args:
        d_model: size of the last axis, a multiple of nhead.
        nhead: number of heads.
        dim_feedforward: width between linear1 and linear2.
        dropout: probability of dropping, in training. Above 0, training needs a key.
        activation: "relu", "gelu", a function of one array, or a layer.
        layer_norm_eps: added to the variance in the layer norms.
        norm_first: whether the norms stand before the branches instead of after the sums.
        bias: whether linear maps and norms have biases.
        is_causal: whether position t sees the positions 0 to t only.

    Input: `(..., T, d_model)`, floating.
    Output: the same shape and dtype.
    Params: `self_attn: {in_proj_weight, in_proj_bias, out_proj: {weight, bias}}`, `linear1`, `linear2`, `norm1`,
        `norm2: {weight, bias}`, as in torch; `activation`, if it has some.
    Context: `src_mask`, broadcastable to `(..., nhead, T, T)` (or `mask`); `src_key_padding_mask (..., T)`, True
        for real positions (or `key_padding_mask`).

    Raises:
        ShapeError: x or a mask does not fit.
        DtypeError: x is not floating.
        OptionError: nhead does not divide d_model, a size is below 1, dropout is no probability, or another
            activation's name.
        CallError: `train=True` without a key, with dropout.

    Follows `torch.nn.TransformerEncoderLayer` with batch_first=True (Vaswani et al. 2017, arXiv:1706.03762).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.transformer_encoder_layer(8, 2, 16, activation=jax.nn.gelu)
        >>> params = layer.init(jax.random.key(0))
        >>> layer.apply(params, jnp.ones((3, 5, 8))).shape
        (3, 5, 8)
    """
    check_layer(d_model, nhead, dim_feedforward, dropout)
    children = Children({
        "self_attn": multihead_attention(d_model, nhead, dropout, bias, is_causal=is_causal),
        **feed_forward(d_model, dim_feedforward, dropout, activation, bias),
        **{f"norm{i}": layer_norm(d_model, layer_norm_eps, bias=bias) for i in (1, 2)},
        **{f"dropout{i}": dropout_or_identity(dropout) for i in (1, 2)},
    })  # fmt: skip

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        return init_parts(children, key, inside(x, dim_feedforward), x)

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        run = Block(children, params, state, key, train, context)
        masks = named_masks(context, mask="src_mask", key_padding_mask="src_key_padding_mask")
        h = add_branch(run, x, norm_first, 1, lambda h: run("self_attn", h, masks))
        return add_branch(run, h, norm_first, 2, lambda h: feed(run, h)), run.state

    return init, apply, children.layers


@layer(context=("tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask"))
def transformer_decoder_layer(
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: Activation = "relu",
    layer_norm_eps: float = 1e-5,
    norm_first: bool = False,
    bias: bool = True,
    *,
    tgt_is_causal: bool = False,
):
    """Attends to itself and to a memory, then feeds forward.

    `h = norm1(x + attend(x))`, `g = norm2(h + attend(h, memory))`, `y = norm3(g + feed(g))` with
    `feed(g) = linear2(dropout(activation(linear1(g))))`; dropout also stands after the three branches and in
    both attentions. With norm_first, each norm stands before its branch: `h = x + attend(norm1(x))` and so on.

    **Masks are True where a query MAY look** (torch's boolean ones are the inverse: pass `~mask`); floating ones
    are added to the scores.

    Args:
        d_model: size of the last axis, a multiple of nhead.
        nhead: number of heads.
        dim_feedforward: width between linear1 and linear2.
        dropout: probability of dropping, in training. Above 0, training needs a key.
        activation: "relu", "gelu", a function of one array, or a layer.
        layer_norm_eps: added to the variance in the layer norms.
        norm_first: whether the norms stand before the branches instead of after the sums.
        bias: whether linear maps and norms have biases.
        tgt_is_causal: whether position t of tgt sees the positions 0 to t of tgt only.

    Input: `(tgt, memory)`: `(..., T, d_model)` and `(..., S, d_model)`, floating.
    Output: `(..., T, d_model)`, of the same dtype.
    Params: `self_attn`, `multihead_attn: {in_proj_weight, in_proj_bias, out_proj: {weight, bias}}`, `linear1`,
        `linear2`, `norm1`, `norm2`, `norm3: {weight, bias}`, as in torch; `activation`, if it has some.
    Context: `tgt_mask`, broadcastable to `(..., nhead, T, T)`; `memory_mask`, to `(..., nhead, T, S)`;
        `tgt_key_padding_mask (..., T)` and `memory_key_padding_mask (..., S)`, True for real positions.

    Raises:
        ShapeError: an input or a mask does not fit.
        DtypeError: x is no tuple of two arrays, or one is not floating.
        OptionError: nhead does not divide d_model, a size is below 1, dropout is no probability, or another
            activation's name.
        CallError: `train=True` without a key, with dropout; or context has `mask`, which could be either.

    Follows `torch.nn.TransformerDecoderLayer` with batch_first=True (Vaswani et al. 2017, arXiv:1706.03762).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.transformer_decoder_layer(8, 2, 16, tgt_is_causal=True)
        >>> params = layer.init(jax.random.key(0))
        >>> layer.apply(params, (jnp.ones((3, 5, 8)), jnp.ones((3, 7, 8)))).shape
        (3, 5, 8)
    """
    check_layer(d_model, nhead, dim_feedforward, dropout)
    children = Children({
        "self_attn": multihead_attention(d_model, nhead, dropout, bias, is_causal=tgt_is_causal),
        "multihead_attn": multihead_attention(d_model, nhead, dropout, bias),
        **feed_forward(d_model, dim_feedforward, dropout, activation, bias),
        **{f"norm{i}": layer_norm(d_model, layer_norm_eps, bias=bias) for i in (1, 2, 3)},
        **{f"dropout{i}": dropout_or_identity(dropout) for i in (1, 2, 3)},
    })  # fmt: skip

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        tgt, memory = (None, None) if x is None else two_arrays(x)
        both = None if x is None else (tgt, memory, memory)
        return init_parts(children, key, {"multihead_attn": both, **inside(tgt, dim_feedforward)}, tgt)

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        run = Block(children, params, state, key, train, context)
        own, cross = (decoder_masks(context, name) for name in ("tgt", "memory"))
        tgt, memory = two_arrays(x)
        h = add_branch(run, tgt, norm_first, 1, lambda h: run("self_attn", h, own))
        h = add_branch(run, h, norm_first, 2, lambda h: run("multihead_attn", (h, memory, memory), cross))
        return add_branch(run, h, norm_first, 3, lambda h: feed(run, h)), run.state

    return init, apply, children.layers


def check_layer(d_model: int, nhead: int, dim_feedforward: int, dropout: float) -> None:
    """Refuses sizes and probabilities that cannot be."""
    at_least(1, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
    check_probability(dropout)


def feed_forward(d_model: int, width: int, dropout: float, activation: Any, bias: bool) -> dict[str, Layer]:
    """The parts of the feed-forward branch, by torch's names."""
    return {
        "linear1": linear(d_model, width, bias),
        "activation": activation_layer(activation),
        "dropout": dropout_or_identity(dropout),
        "linear2": linear(width, d_model, bias),
    }


def inside(x: Any, width: int) -> dict[str, Any]:
    """The inputs of the parts after linear1."""
    return dict.fromkeys(("activation", "dropout", "linear2"), widened(x, width))


def feed(run: Block, x: jax.Array) -> jax.Array:
    """The feed-forward branch."""
    for name in ("linear1", "activation", "dropout", "linear2"):
        x = run(name, x)
    return x


def add_branch(run: Block, x: jax.Array, norm_first: bool, number: int, branch: Callable[..., jax.Array]) -> jax.Array:
    """Adds a branch and its dropout to x, with the norm before the branch or after the sum."""
    norm, dropout = f"norm{number}", f"dropout{number}"
    if norm_first:
        return x + run(dropout, branch(run(norm, x)))
    return run(norm, x + run(dropout, branch(x)))


def decoder_masks(context: Mapping[str, Any] | None, which: str) -> dict[str, Any]:
    """The masks of one of the two attentions; a plain `mask` would not say of which."""
    for name in ("mask", "key_padding_mask"):
        if context and name in context:
            raise CallError(f"{name!r} in context could be of either attention: say 'tgt_{name}' or 'memory_{name}'.")
    return named_masks(context, mask=f"{which}_mask", key_padding_mask=f"{which}_key_padding_mask")
