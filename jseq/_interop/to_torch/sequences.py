"""Recurrence, attention and transformers: torch's own modules, batch first, unless axes are swapped around them."""

from typing import Any

from jseq._combinators import graph as graphs
from jseq._combinators import sequence, transformer, transformer_layers
from jseq._interop.extras import need
from jseq._interop.to_torch.classes import Own, chained, made
from jseq._interop.to_torch.layers import by_name, copied
from jseq._interop.to_torch.layouts import collapsed, entered, one, spread
from jseq._interop.to_torch.registry import Call, Parts, converter, wrapped
from jseq._layers import recurrent
from jseq._layers.attention import multihead_attention
from jseq._layers.linear import identity
from jseq._layers.shape import permute
from jseq.core import Layer

SWAP = permute((-2, -3, -1))  # (T, N, C) to (N, T, C) and back; states (layers, N, C) likewise
STATES = {recurrent.rnn: SWAP, recurrent.gru: SWAP, recurrent.lstm: graphs.parallel(SWAP, SWAP)}


class Recurrence:
    """A recurrent module of torch's that gives y alone, or the states with the layers after the batch."""

    def forward(self: Any, x: Any) -> Any:
        y, states = self.base.forward(self, x)
        if not self.return_state:
            return y
        swapped = x.ndim == 3
        return y, tuple(swap(s, swapped) for s in states) if isinstance(states, tuple) else swap(states, swapped)  # pyright: ignore


def swap(state: Any, swapped: bool) -> Any:
    return state.transpose(0, 1) if swapped else state


@by_name("rnn lstm gru", wants=0)
def recurrence(call: Call) -> Any:
    module = copied(call, type_of(call.layer), Recurrence, batch_first=True)
    module.return_state = call.options["return_state"]
    return module


def type_of(layer: Layer) -> str:
    return {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}[layer.name]


def causal(length: int, given: Any, like: Any) -> Any:
    """torch's mask, True where nobody may look, that hides the later positions and what a given one hides."""
    mask = like.new_ones(length, length).triu(1).bool()
    if given is None:
        return mask
    return given | mask if given.dtype == mask.dtype else given.masked_fill(mask, float("-inf"))


class Attention:
    """torch's attention without the weights of the softmax; of one array it is self-attention."""

    def forward(self: Any, query: Any, key: Any = None, value: Any = None, key_padding_mask: Any = None,
                need_weights: bool = False, attn_mask: Any = None, **rest: Any) -> Any:  # fmt: skip
        if isinstance(query, tuple):
            query, key, value = query  # pyright: ignore[reportUnknownVariableType]
        key = query if key is None else key
        value = key if value is None else value
        if self.causal:
            attn_mask = causal(query.shape[-2 if self.batch_first else 0], attn_mask, query)  # pyright: ignore
        return self.base.forward(self, query, key, value, key_padding_mask, False, attn_mask, **rest)[0]


@by_name("multihead_attention", wants=0)
def attention(call: Call, batch_first: bool = True) -> Any:
    module = copied(call, "MultiheadAttention", Attention, batch_first=batch_first)
    module.causal = call.options["is_causal"]
    return module


class CausalEncoderLayer:
    """An encoder layer whose positions see those before them."""

    def forward(self: Any, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
                is_causal: bool = False) -> Any:  # fmt: skip
        mask = causal(src.shape[-2 if self.self_attn.batch_first else 0], src_mask, src)
        return self.base.forward(self, src, mask, src_key_padding_mask)


class CausalDecoderLayer:
    """A decoder layer whose positions see those before them."""

    def forward(self: Any, tgt: Any, memory: Any, tgt_mask: Any = None, *masks: Any, **named: Any) -> Any:
        mask = causal(tgt.shape[-2 if self.self_attn.batch_first else 0], tgt_mask, tgt)
        return self.base.forward(self, tgt, memory, mask, *masks, **named)


def layer_of(call: Call, name: str, own: type | None, batch_first: bool) -> Any:
    """A layer of an encoder or a decoder."""
    activation = call.options["activation"]
    if not isinstance(activation, str):
        activation, _ = Parts(call).convert("activation", 0)
    return copied(call, name, own, batch_first=batch_first, activation=activation)


@converter(transformer_layers.transformer_encoder_layer, wants=0)
def encoder_layer(call: Call, batch_first: bool = True) -> Any:
    own = CausalEncoderLayer if call.options["is_causal"] else None
    return layer_of(call, "TransformerEncoderLayer", own, batch_first)


@converter(transformer_layers.transformer_decoder_layer, wants=0)
def decoder_layer(call: Call, batch_first: bool = True) -> Any:
    own = CausalDecoderLayer if call.options["tgt_is_causal"] else None
    return spread(layer_of(call, "TransformerDecoderLayer", own, batch_first))


ENCODER = (transformer_layers.transformer_encoder_layer, encoder_layer, "TransformerEncoder")
DECODER = (transformer_layers.transformer_decoder_layer, decoder_layer, "TransformerDecoder")
TORCHS = {transformer.transformer_encoder: ENCODER, transformer.transformer_decoder: DECODER}


@converter(*TORCHS, wants=0, whole=True)
def stack(call: Call, batch_first: bool = True) -> Any:
    """torch's own where its layers are torch's, else a chain of the same names."""
    constructor, build, name = TORCHS[call.layer.constructor]
    parts, layers = Parts(call), Parts(Parts(call).call("layers"))
    names = list(layers)
    if layers.call("0").layer.constructor is not constructor:
        modules: dict[str, Any] = {}
        modules["layers"], layout = parts.convert("layers", call.spatial_dims)
        if "norm" in parts:
            modules["norm"], layout = parts.convert("norm", layout)
        return chained(modules), layout
    module_class, more = getattr(need("torch.nn", "torch"), name), {}
    if name == "TransformerEncoder":
        more = {"enable_nested_tensor": False}
    module = module_class(build(layers.call("0"), batch_first), len(names), **more)
    if "norm" in parts:
        module.norm, _ = parts.convert("norm", 0)
    module = spread(module) if name == "TransformerDecoder" else module
    return entered(module, call.spatial_dims, 0), 0


class EncoderDecoder(Own):
    """`y = decoder((tgt, encoder(src)))`."""

    def forward(self: Any, *x: Any) -> Any:
        src, tgt = one(x)
        return self.decoder((tgt, self.encoder(src)))


@converter(transformer.transformer, wants=0, whole=True)
def whole(call: Call, batch_first: bool = True) -> Any:
    parts, nn = Parts(call), need("torch.nn", "torch")
    found = {name: parts.call(name) for name in ("encoder", "decoder")}
    if all(part.layer.constructor in TORCHS for part in found.values()):
        encoder, decoder = (stack(part, batch_first)[0] for part in found.values())
        if isinstance(encoder, nn.TransformerEncoder) and isinstance(decoder, nn.TransformerDecoder):
            sizes = {"d_model": call.options["d_model"], "nhead": call.options["nhead"]}
            module = nn.Transformer(**sizes, custom_encoder=encoder, custom_decoder=decoder, batch_first=batch_first)
            return entered(spread(module), call.spatial_dims, 0), 0
    modules = {"encoder": parts.convert("encoder", 0)[0], "decoder": parts.convert("decoder", (0, 0))[0]}
    return entered(made(EncoderDecoder, modules), call.spatial_dims, 0), 0


# What can be built with the time on axis 0, and how many inputs it has.
TIMED: dict[Any, tuple[Any, int]] = {
    multihead_attention: (attention, 3),
    transformer_layers.transformer_encoder_layer: (encoder_layer, 1),
    transformer_layers.transformer_decoder_layer: (decoder_layer, 2),
    transformer.transformer_encoder: (stack, 1),
    transformer.transformer_decoder: (stack, 2),
    transformer.transformer: (whole, 2),
}


def timed(call: Call) -> Any:
    """torch's module for a layer between swaps of batch and time, as `from_torch` has it; None for any other."""
    layer, first, last = wrapped(call.layer), call.options["before"], call.options["after"]
    part = Call(layer, call.params, call.state, 0)
    if collapsed(call.spatial_dims) != 0:
        return None
    if layer.constructor in STATES and layer.arguments["return_state"]:
        states = STATES[layer.constructor]
        for swapped, y in ((None, identity()), (SWAP, SWAP)):
            if first == swapped and last == graphs.parallel(y, states):
                return copied(part, type_of(layer), batch_first=swapped is None), 0
    build, inputs = TIMED.get(layer.constructor, (None, 0))
    if build is None or first != (SWAP if inputs == 1 else graphs.parallel(*[SWAP] * inputs)) or last != SWAP:
        return None
    module = build(part, False)
    return module if isinstance(module, tuple) else (module, 0)


class Bidirectional(Own):
    """A layer forwards and another backwards over time."""

    def forward(self: Any, x: Any) -> Any:
        ahead, back = self._modules["forward"](x), self._modules["backward"](x.flip(-2)).flip(-2)
        if self.merge == "concatenate":
            return need("torch", "torch").cat([ahead, back], -1)
        if self.merge == "none":
            return ahead, back
        if self.merge == "multiply":
            return ahead * back
        return (ahead + back) / 2 if self.merge == "average" else ahead + back


@converter(sequence.bidirectional, wants=0, whole=True)
def bidirectional(call: Call) -> Any:
    parts = Parts(call)
    modules = {name: parts.convert(name, 0)[0] for name in parts}
    return entered(made(Bidirectional, modules, merge=call.options["merge"]), call.spatial_dims, 0), 0
