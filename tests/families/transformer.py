"""Cases of jseq/_combinators/transformer*.py and with_memory.py. Boolean masks of torch are the inverse of ours."""

import jax
import numpy as np

import jseq
from tests.case import Case, bools, floats

X = floats(2, 5, 4)
PAIR = (floats(2, 4, 4), X)  # (tgt, memory)
BOTH = (X, floats(2, 4, 4))  # (src, tgt)
SIZES = "4, 2, 6"
SRC = {"src_mask": bools(5, 5), "src_key_padding_mask": bools(2, 5)}
TGT = {"tgt_mask": bools(4, 4), "memory_mask": bools(4, 5), "tgt_key_padding_mask": bools(2, 4),
       "memory_key_padding_mask": bools(2, 5)}  # fmt: skip


def masked(names, inputs: str = "*x") -> str:
    """torch's call with these masks, inverted."""
    return f"module({inputs}, {', '.join(f'{name}=~{name}' for name in names)})"


def causal(size: int) -> str:
    return f"torch.triu(torch.ones({size}, {size}, dtype=torch.bool), 1)"


def same(name: str, torch_name: str, arguments: str, x, extra: str = "", **options) -> Case:
    """The same arguments in both libraries; `extra` are jseq's own."""
    layer = eval(f"jseq.{name}({arguments}{extra})", {"jseq": jseq, "jax": jax})
    return Case(layer, x, f"nn.{torch_name}({arguments}, batch_first=True)", **options)


def encoder_layer(arguments: str, x=X, extra: str = "", **options) -> Case:
    return same("transformer_encoder_layer", "TransformerEncoderLayer", arguments, x, extra, **options)


def decoder_layer(arguments: str, x=PAIR, extra: str = "", **options) -> Case:
    return same("transformer_decoder_layer", "TransformerDecoderLayer", arguments, x, extra, **options)


def stack(kind: str, arguments: str, x, norm: bool, **options) -> Case:
    """Two copies of a layer."""
    layer = eval(f"jseq.transformer_{kind}_layer({arguments})", {"jseq": jseq})
    module = f"nn.Transformer{kind.title()}Layer({arguments}, batch_first=True)"
    ours = getattr(jseq, f"transformer_{kind}")(layer, 2, jseq.layer_norm(4) if norm else None)
    last = ", norm=nn.LayerNorm(4)" if norm else ""
    nested = ", enable_nested_tensor=False" if kind == "encoder" else ""
    return Case(ours, x, f"nn.Transformer{kind.title()}({module}, 2{last}{nested})", **options)


def both(arguments: str, extra: str = "", **options) -> Case:
    return same("transformer", "Transformer", arguments, BOTH, extra, **options)


def quiet(layers: int, rest: str, **options) -> Case:
    """As `both`; with these arguments torch warns of its own encoder, so it gets one that it would have built."""
    module = f"nn.TransformerEncoderLayer({SIZES}, batch_first=True, {rest})"
    norm = f"nn.LayerNorm(4, bias={'bias=False' not in rest})"
    encoder = f"nn.TransformerEncoder({module}, {layers}, {norm}, enable_nested_tensor=False)"
    return Case(
        eval(f"jseq.transformer(4, 2, {layers}, 1, 6, {rest})", {"jseq": jseq}),
        BOTH,
        f"nn.Transformer(4, 2, {layers}, 1, 6, custom_encoder={encoder}, batch_first=True, {rest})",
        **options,
    )


def chained(params, x):
    """Two bilinear maps with one memory."""
    y, memory = x
    for p in params:
        y = np.einsum("ni,ijo,nj->no", y, p["weight"], memory) + p["bias"]
    return y


CASES = [
    encoder_layer(
        SIZES,
        variants=(
            encoder_layer(f"{SIZES}, 0.0", train=True),
            encoder_layer(f"{SIZES}, 0.0, 'gelu'", train=True),
            encoder_layer(f"{SIZES}, norm_first=True"),
            encoder_layer(f"{SIZES}, 0.0, norm_first=True, layer_norm_eps=0.1", train=True),
            encoder_layer(f"{SIZES}, bias=False"),
            Case(jseq.transformer_encoder_layer(4, 2, 6, activation=jax.nn.tanh), X,
                 "nn.TransformerEncoderLayer(4, 2, 6, activation=torch.tanh, batch_first=True)"),
            Case(jseq.transformer_encoder_layer(4, 2, 6, activation=jseq.prelu()), X,
                 "nn.TransformerEncoderLayer(4, 2, 6, activation=nn.PReLU(), batch_first=True)"),
            encoder_layer(SIZES, floats(5, 4), batched=False),
            encoder_layer(SIZES, context=SRC, torch_call=masked(SRC)),
            encoder_layer(f"{SIZES}, norm_first=True", context={"src_mask": floats(5, 5)},
                          torch_call="module(*x, src_mask=src_mask)"),
            encoder_layer(SIZES, context={"mask": bools(5, 5)}, torch_call="module(*x, src_mask=~mask)"),
            encoder_layer(SIZES, extra=", is_causal=True",
                          torch_call=f"module(*x, src_mask={causal(5)}, is_causal=True)"),
        ),
    ),
    decoder_layer(
        SIZES,
        variants=(
            decoder_layer(f"{SIZES}, 0.0", train=True),
            decoder_layer(f"{SIZES}, 0.0, 'gelu', 0.1, norm_first=True, bias=False", train=True),
            decoder_layer(f"{SIZES}, norm_first=True"),
            decoder_layer(f"{SIZES}, bias=False"),
            Case(jseq.transformer_decoder_layer(4, 2, 6, activation=jax.nn.tanh), PAIR,
                 "nn.TransformerDecoderLayer(4, 2, 6, activation=torch.tanh, batch_first=True)"),
            decoder_layer(SIZES, (floats(4, 4), floats(5, 4)), batched=False),
            decoder_layer(SIZES, context=TGT, torch_call=masked(TGT)),
            decoder_layer(SIZES, context={"tgt_mask": floats(4, 4), "memory_mask": floats(4, 5)},
                          torch_call="module(*x, tgt_mask=tgt_mask, memory_mask=memory_mask)"),
            decoder_layer(SIZES, extra=", tgt_is_causal=True", torch_call=f"module(*x, tgt_mask={causal(4)})"),
        ),
    ),
    stack(
        "encoder", SIZES, X, norm=True,
        variants=(
            stack("encoder", f"{SIZES}, 0.0", X, norm=False, train=True),
            stack("encoder", f"{SIZES}, norm_first=True", X, norm=True),
            stack("encoder", SIZES, X, norm=True, context=SRC,
                  torch_call="module(*x, mask=~src_mask, src_key_padding_mask=~src_key_padding_mask)"),
            stack("encoder", SIZES, X, norm=False, context={"mask": bools(5, 5)}, torch_call="module(*x, mask=~mask)"),
        ),
    ),
    stack(
        "decoder", SIZES, PAIR, norm=True,
        variants=(
            stack("decoder", f"{SIZES}, 0.0", PAIR, norm=False, train=True),
            stack("decoder", f"{SIZES}, norm_first=True, bias=False", PAIR, norm=True),
            stack("decoder", SIZES, PAIR, norm=True, context=TGT, torch_call=masked(TGT)),
        ),
    ),
    both(
        "4, 2, 1, 2, 6",
        variants=(
            both("4, 2, 1, 1, 6, 0.0", train=True),
            quiet(2, "dropout=0.0, activation='gelu', norm_first=True", train=True),
            quiet(1, "bias=False"),
            both("4, 2, 2, 2, 6", context=SRC | TGT, torch_call=masked(SRC | TGT)),
            both("4, 2, 1, 1, 6", ", src_is_causal=True, tgt_is_causal=True",
                 torch_call=f"module(*x, src_mask={causal(5)}, tgt_mask={causal(4)})"),
            Case(jseq.transformer(4, 2, custom_encoder=jseq.linear(4, 4), num_decoder_layers=1, dim_feedforward=6),
                 BOTH, "nn.Transformer(4, 2, num_decoder_layers=1, dim_feedforward=6, batch_first=True, "
                 "custom_encoder=type('Map', (nn.Linear,), {'forward': lambda self, x, **masks: "
                 "nn.functional.linear(x, self.weight, self.bias)})(4, 4))"),
        ),
    ),
    Case(
        jseq.with_memory(jseq.bilinear(3, 4, 5), jseq.bilinear(5, 4, 2)), (floats(6, 3), floats(6, 4)),
        reference=chained,
        variants=(Case(jseq.with_memory(), (floats(6, 3), floats(6, 4)), reference=lambda params, x: x[0]),),
    ),
]  # fmt: skip
