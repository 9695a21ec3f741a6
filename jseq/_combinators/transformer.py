"""The transformer: its encoder, its decoder, and both."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax

from jseq._combinators.block import Block
from jseq._combinators.children import Children
from jseq._combinators.sequential import sequential
from jseq._combinators.transformer_layers import Activation, transformer_decoder_layer, transformer_encoder_layer
from jseq._combinators.with_memory import with_memory
from jseq._core.keys import child_key, stable_number
from jseq._layers.normalisation import layer_norm
from jseq._layers.options import at_least
from jseq._layers.pairs import two_arrays
from jseq.core import Layer, layer
from jseq.functional.drawing import drawn


@layer
def transformer_encoder(encoder_layer: Layer, num_layers: int, norm: Layer | None = None):
    """Stacks encoder layers, and a norm on top: `y = norm(f_n(... f_1(x)))`.

    Every copy has initial values of its own; torch's copies start equal.

    Args:
        encoder_layer: a layer that keeps the shape, such as `transformer_encoder_layer`.
        num_layers: how many copies.
        norm: a layer at the end, or None.

    Input: what the layer takes.
    Output: the same shape.
    Params: `layers`: a tuple with one entry per copy; `norm`, if there is one. So paths are torch's:
        `layers.0.self_attn.in_proj_weight`.
    Context: what the layers read: `src_mask` (or `mask`, torch's name here), `src_key_padding_mask`. Boolean masks
        are True where a query MAY look, the inverse of torch's.

    Raises:
        OptionError: num_layers below 1.
        CallError: encoder_layer is no layer.

    Follows `torch.nn.TransformerEncoder` (Vaswani et al. 2017, arXiv:1706.03762).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.transformer_encoder(jseq.transformer_encoder_layer(8, 2, 16), 2, jseq.layer_norm(8))
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, jnp.ones((3, 5, 8))).shape
        (3, 5, 8)
    """
    at_least(1, num_layers=num_layers)
    parts = {"layers": sequential(*[encoder_layer] * num_layers)}
    children = Children(parts if norm is None else {**parts, "norm": norm})

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        run = Block(children, params, state, key, train, context)
        y = run("layers", x)
        return (y if norm is None else run("norm", y)), run.state

    return children.init_chain, apply, children.layers


@layer
def transformer_decoder(decoder_layer: Layer, num_layers: int, norm: Layer | None = None):
    """Stacks decoder layers over one memory, and a norm on top: `y = norm(f_n((... f_1((tgt, m)) ..., m)))`.

    Every copy has initial values of its own; torch's copies start equal.

    Args:
        decoder_layer: a layer of `(x, memory)` that keeps the shape of x, such as `transformer_decoder_layer`.
        num_layers: how many copies.
        norm: a layer at the end, or None.

    Input: `(tgt, memory)`, what the layer takes.
    Output: the shape of tgt.
    Params: `layers`: a tuple with one entry per copy; `norm`, if there is one, as in torch.
    Context: what the layers read: `tgt_mask`, `memory_mask`, `tgt_key_padding_mask`, `memory_key_padding_mask`.
        Boolean masks are True where a query MAY look, the inverse of torch's.

    Raises:
        OptionError: num_layers below 1.
        CallError: decoder_layer is no layer.
        DtypeError: x is no tuple of two arrays.

    Follows `torch.nn.TransformerDecoder` (Vaswani et al. 2017, arXiv:1706.03762).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.transformer_decoder(jseq.transformer_decoder_layer(8, 2, 16), 2)
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, (jnp.ones((3, 5, 8)), jnp.ones((3, 7, 8)))).shape
        (3, 5, 8)
    """
    at_least(1, num_layers=num_layers)
    parts = {"layers": with_memory(*[decoder_layer] * num_layers)}
    children = Children(parts if norm is None else {**parts, "norm": norm})

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        run = Block(children, params, state, key, train, context)
        y = run("layers", x)
        return (y if norm is None else run("norm", y)), run.state

    return children.init_chain, apply, children.layers


@layer
def transformer(
    d_model: int = 512,
    nhead: int = 8,
    num_encoder_layers: int = 6,
    num_decoder_layers: int = 6,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: Activation = "relu",
    custom_encoder: Layer | None = None,
    custom_decoder: Layer | None = None,
    layer_norm_eps: float = 1e-5,
    norm_first: bool = False,
    bias: bool = True,
    *,
    src_is_causal: bool = False,
    tgt_is_causal: bool = False,
):
    """Encodes one sequence and decodes another over it: `y = decoder((tgt, encoder(src)))`.

    Encoder and decoder end with a layer norm. **Boolean masks are True where a query MAY look, the inverse of
    torch's**: pass `~mask`; floating ones are added to the scores.

    Args:
        d_model: size of the last axes, a multiple of nhead.
        nhead: number of heads.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: width of the feed-forward branches.
        dropout: probability of dropping, in training. Above 0, training needs a key.
        activation: "relu", "gelu", a function of one array, or a layer.
        custom_encoder: a layer instead of the encoder; None for `transformer_encoder`.
        custom_decoder: a layer of `(tgt, memory)` instead of the decoder; None for `transformer_decoder`.
        layer_norm_eps: added to the variance in the layer norms.
        norm_first: whether the norms stand before the branches instead of after the sums.
        bias: whether linear maps and norms have biases.
        src_is_causal: whether position t of src sees the positions 0 to t only.
        tgt_is_causal: the same for tgt.

    Input: `(src, tgt)`: `(..., S, d_model)` and `(..., T, d_model)`, floating.
    Output: `(..., T, d_model)`, of the same dtype.
    Params: `encoder` and `decoder`: `{layers: (...), norm}`, as in torch. Every matrix starts from Glorot's uniform
        distribution, as torch's do.
    Context: `src_mask`, `src_key_padding_mask`, `tgt_mask`, `tgt_key_padding_mask`, `memory_mask`,
        `memory_key_padding_mask`; see the two layers.

    Raises:
        ShapeError: an input or a mask does not fit.
        DtypeError: x is no tuple of two arrays, or one is not floating.
        OptionError: nhead does not divide d_model, a size is below 1, dropout is no probability, or another
            activation's name.
        CallError: `train=True` without a key, with dropout; or context has `mask`, which could be any.

    Follows `torch.nn.Transformer` with batch_first=True (Vaswani et al. 2017, arXiv:1706.03762).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.transformer(8, 2, 1, 1, 16, tgt_is_causal=True)
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, (jnp.ones((3, 7, 8)), jnp.ones((3, 5, 8)))).shape
        (3, 5, 8)
    """
    common = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias)
    norm = layer_norm(d_model, layer_norm_eps, bias=bias)
    encoder, decoder = custom_encoder, custom_decoder
    if encoder is None:
        one = transformer_encoder_layer(*common, is_causal=src_is_causal)
        encoder = transformer_encoder(one, num_encoder_layers, norm)
    if decoder is None:
        one = transformer_decoder_layer(*common, tgt_is_causal=tgt_is_causal)
        decoder = transformer_decoder(one, num_decoder_layers, norm)
    children = Children({"encoder": encoder, "decoder": decoder})

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        src, tgt = (None, None) if x is None else two_arrays(x)
        first, second = children
        encoder_params, encoder_state, memory = first.init(key, src)
        decoder_params, decoder_state, _ = second.init(key, None if x is None else (tgt, memory))
        params = children.join([encoder_params, decoder_params])
        return glorot_matrices(key, params), children.join([encoder_state, decoder_state])

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        run = Block(children, params, state, key, train, context)
        src, tgt = two_arrays(x)
        return run("decoder", (tgt, run("encoder", src))), run.state

    return init, apply, children.layers


def glorot_matrices(key: jax.Array, params: Any) -> Any:
    """Draws every parameter of two axes anew, as `torch.nn.Transformer._reset_parameters` does."""
    glorot = jax.nn.initializers.glorot_uniform()

    def draw(path: Any, leaf: jax.Array) -> jax.Array:
        if leaf.ndim != 2:
            return leaf
        own = child_key(key, stable_number(jax.tree_util.keystr(path, simple=True, separator=".")))
        return drawn(partial(glorot, dtype=leaf.dtype), own, leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, params)
