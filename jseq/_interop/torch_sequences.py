"""Recurrence, attention and transformers of torch.nn. Without batch_first torch has the time on axis 0."""

from typing import Any

from jseq._combinators.adapt import adapt
from jseq._combinators.graph import parallel
from jseq._combinators.transformer import transformer, transformer_decoder, transformer_encoder
from jseq._combinators.transformer_layers import transformer_decoder_layer, transformer_encoder_layer
from jseq._interop.torch_layers import copied
from jseq._interop.torch_registry import built_in, converter_of, refuse
from jseq._layers.linear import identity
from jseq._layers.shape import permute
from jseq.core import CONSTRUCTORS, Layer
from jseq.errors import ConversionError

SWAP = permute((-2, -3, -1))  # (T, N, C) to (N, T, C) and back; states (layers, N, C) likewise


def recurrent(name: str, states: Layer) -> Any:
    """A converter of a recurrent module: torch returns the states too, with the layers before the batch."""

    def build(module: Any) -> Layer:
        inside = copied(module, name, return_state=True)
        if module.batch_first:
            return adapt(inside, None, parallel(identity(), states))
        return adapt(inside, SWAP, parallel(SWAP, states))

    return build


built_in("RNN", 0)(recurrent("rnn", SWAP))
built_in("GRU", 0)(recurrent("gru", SWAP))
built_in("LSTM", 0)(recurrent("lstm", parallel(SWAP, SWAP)))


def timed(layer: Layer, batch_first: bool, inputs: int = 1) -> Layer:
    """A layer of sequences for torch's order of axes."""
    if batch_first:
        return layer
    return adapt(layer, SWAP if inputs == 1 else parallel(*[SWAP] * inputs), SWAP)


def attention(module: Any) -> Layer:
    """The attention itself, batch first."""
    given = {
        "bias": module.in_proj_bias is not None,
        "add_bias_kv": module.bias_k is not None,
        "kdim": None if module.kdim == module.embed_dim else module.kdim,
        "vdim": None if module.vdim == module.embed_dim else module.vdim,
    }
    return copied(module, "multihead_attention", **given)


@built_in("MultiheadAttention", 0)
def multihead_attention(module: Any) -> Layer:
    """Of (query, key, value), without the weights of the softmax (torch's need_weights=False)."""
    return timed(attention(module), module.batch_first, 3)


def activation(module: Any) -> Any:
    """The activation of a transformer's layer: its name, or the layer of a module."""
    function = module.activation
    name = getattr(function, "__name__", "")
    if name in ("relu", "gelu"):
        return name
    if hasattr(function, "forward"):
        converter = converter_of(function)
        if converter is None:
            raise refuse(function)
        return converter.layer(function, 0)
    known = converter_named(name)
    if known is None:
        raise ConversionError(f"the activation {name or function!r} is a function without a jseq layer; "
                              "give torch a module such as nn.Tanh().")  # fmt: skip
    return known


def converter_named(name: str) -> Layer | None:
    """The activation layer that a function of torch is by its name: `torch.tanh`."""
    constructor = CONSTRUCTORS.get(f"jseq.{name}")
    return constructor() if constructor is not None and name in ("tanh", "sigmoid", "silu", "mish", "selu") else None


def of_layer(module: Any) -> dict[str, Any]:
    """What the layers of encoder and decoder have in common."""
    return {
        "d_model": module.linear1.in_features,
        "nhead": module.self_attn.num_heads,
        "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p,
        "activation": activation(module),
        "layer_norm_eps": module.norm1.eps,
        "norm_first": module.norm_first,
        "bias": module.linear1.bias is not None,
    }


def encoder_layer(module: Any) -> Layer:
    return transformer_encoder_layer(**of_layer(module))


def decoder_layer(module: Any) -> Layer:
    return transformer_decoder_layer(**of_layer(module))


@built_in("TransformerEncoderLayer", 0)
def timed_encoder_layer(module: Any) -> Layer:
    return timed(encoder_layer(module), module.self_attn.batch_first)


@built_in("TransformerDecoderLayer", 0)
def timed_decoder_layer(module: Any) -> Layer:
    return timed(decoder_layer(module), module.self_attn.batch_first, 2)


def stack(module: Any) -> Layer:
    """An encoder or a decoder, batch first: equal layers, and a norm or none."""
    decoder = hasattr(module.layers[0], "multihead_attn")
    layers = [decoder_layer(layer) if decoder else encoder_layer(layer) for layer in module.layers]
    if any(layer != layers[0] for layer in layers):
        raise ConversionError(f"{type(module).__name__} of layers that differ: put them in an nn.Sequential.")
    norm = None
    if module.norm is not None:
        converter = converter_of(module.norm)
        if converter is None:
            raise refuse(module.norm)
        norm = converter.layer(module.norm, 0)
    return (transformer_decoder if decoder else transformer_encoder)(layers[0], len(layers), norm)


def batch_first(module: Any) -> bool:
    return module.layers[0].self_attn.batch_first


@built_in("TransformerEncoder", 0)
def timed_encoder(module: Any) -> Layer:
    return timed(stack(module), batch_first(module))


@built_in("TransformerDecoder", 0)
def timed_decoder(module: Any) -> Layer:
    return timed(stack(module), batch_first(module), 2)


@built_in("Transformer", 0)
def whole_transformer(module: Any) -> Layer:
    """Of (src, tgt); encoder and decoder are torch's own classes."""
    for name in ("encoder", "decoder"):
        part = getattr(module, name)
        if type(part).__name__ not in ("TransformerEncoder", "TransformerDecoder"):
            raise refuse(part)
    layer = transformer(module.d_model, module.nhead, custom_encoder=stack(module.encoder),
                        custom_decoder=stack(module.decoder))  # fmt: skip
    return timed(layer, module.batch_first, 2)
