"""Cases of jseq/_layers/attention.py and grouped_attention.py. Boolean masks of torch are the inverse of ours."""

import math

import numpy as np

import jseq
from tests.case import Case, bools, floats, ints

X = floats(3, 5, 8)
CROSS = (floats(3, 4, 8), floats(3, 6, 8), floats(3, 6, 8))
WIDE = (floats(3, 4, 8), floats(3, 6, 5), floats(3, 6, 7))
SELF = "module(x[0], x[0], x[0], need_weights=False{})[0]"
THREE = "module(*x, need_weights=False{})[0]"
MASK = {"mask": bools(5, 5)}
PADDING = {"key_padding_mask": bools(3, 5)}
CAUSAL = "torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)"


def same(arguments: str, x=X, masks: str = "", extra: str = "", **options) -> Case:
    """The same arguments in both libraries; `masks` are torch's keywords, `extra` are jseq's arguments."""
    layer = eval(f"jseq.multihead_attention({arguments}{extra})", {"jseq": jseq})
    call = (THREE if isinstance(x, tuple) else SELF).format(f", {masks}" if masks else "")
    module = f"nn.MultiheadAttention({arguments}, batch_first=True)"
    return Case(layer, x, module, **{"torch_call": call, **options})


MASKED = (
    same("8, 2", masks="attn_mask=~mask", context=MASK),
    same("8, 2", masks="attn_mask=mask", context={"mask": floats(5, 5)}),
    same("8, 2", masks="attn_mask=~mask.flatten(0, 1)", context={"mask": bools(3, 2, 5, 5)}),
    same("8, 2", masks="attn_mask=mask.flatten(0, 1)", context={"mask": floats(3, 2, 5, 5)}),
    same("8, 2", masks="key_padding_mask=~key_padding_mask", context=PADDING),
    same("8, 2", masks="key_padding_mask=key_padding_mask", context={"key_padding_mask": floats(3, 5)}),
    same("8, 2", masks="attn_mask=~mask, key_padding_mask=~key_padding_mask", context=MASK | PADDING),
    same("8, 2", masks="attn_mask=mask, key_padding_mask=torch.where(key_padding_mask, 0.0, -torch.inf)",
         context={"mask": floats(5, 5), **PADDING}),
    same("8, 2", masks=f"attn_mask={CAUSAL}, is_causal=True", extra=", is_causal=True"),
    same("8, 2", masks=f"attn_mask={CAUSAL}, key_padding_mask=~key_padding_mask", extra=", is_causal=True",
         context=PADDING),
    same("8, 2", masks=f"attn_mask={CAUSAL} | ~mask", extra=", is_causal=True", context=MASK),
    same("8, 2", CROSS, masks="attn_mask=~mask, key_padding_mask=~key_padding_mask",
         context={"mask": bools(4, 6), "key_padding_mask": bools(3, 6)}),
)  # fmt: skip
EXTENDED = (
    same("8, 2, add_bias_kv=True"),
    same("8, 2, add_zero_attn=True"),
    same("8, 2, add_bias_kv=True, add_zero_attn=True", train=True),
    same("8, 2, 0.0, True, True, True, 5, 7", WIDE),
    same("8, 2, add_bias_kv=True", masks="attn_mask=~mask", context=MASK),
    same("8, 2, add_bias_kv=True, add_zero_attn=True", masks="key_padding_mask=~key_padding_mask", context=PADDING),
    same("8, 2, add_zero_attn=True", masks="attn_mask=mask", context={"mask": floats(5, 5)}),
    same("8, 2, add_bias_kv=True", masks=f"attn_mask={CAUSAL}", extra=", is_causal=True"),
    same("8, 2, add_bias_kv=True", masks=f"attn_mask={CAUSAL}, key_padding_mask=~key_padding_mask",
         extra=", is_causal=True", context=PADDING),
    same("8, 2, add_zero_attn=True", masks=f"attn_mask=mask.masked_fill({CAUSAL}, -torch.inf)",
         extra=", is_causal=True", context={"mask": floats(5, 5)}),
)  # fmt: skip


def turned(x, base: float, positions=None, interleaved: bool = False):
    """Rotates pairs as complex numbers: x (N, T, heads, d)."""
    half = x.shape[-1] // 2
    places = np.arange(x.shape[1])[None] if positions is None else positions
    turn = np.exp(1j * places[:, :, None, None] * base ** (-np.arange(half) / half))
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    z = (a + 1j * b) * turn
    if interleaved:
        return np.stack([z.real, z.imag], -1).reshape(x.shape)
    return np.concatenate([z.real, z.imag], -1)


def grouped(heads, kv_heads, head_dim, seen=lambda t, s: s <= t, turn=lambda a: turned(a, 10000.0), masks=None):
    """Attention with loops over examples, heads and queries."""

    def reference(params, x):
        def project(name, n):
            y = x @ params[name]["weight"] + params[name].get("bias", 0)
            return y.reshape(*x.shape[:-1], n, head_dim)

        q, k, v = turn(project("q_proj", heads)), turn(project("k_proj", kv_heads)), project("v_proj", kv_heads)
        y = np.zeros(q.shape)
        for n, t, h in np.ndindex(*q.shape[:3]):
            g = h * kv_heads // heads
            keys = [s for s in range(x.shape[1]) if seen(t, s) and (masks is None or masks[n, t, s])]
            if keys:
                scores = np.exp(k[n, keys, g] @ q[n, t, h] / math.sqrt(head_dim))
                y[n, t, h] = scores @ v[n, keys, g] / scores.sum()
        return y.reshape(*x.shape[:-1], -1) @ params["o_proj"]["weight"] + params["o_proj"].get("bias", 0)

    return reference


def drawn(spec):
    """A context of one entry, as tests/case.py draws it."""
    return spec.draw(np.random.RandomState(1))


def everywhere(t, s):
    return True


def plain(x):
    return x


OWN = floats(2, 6, 16)
GROUPED = (
    Case(jseq.grouped_query_attention(16, 4, 4), OWN, reference=grouped(4, 4, 4)),
    Case(jseq.grouped_query_attention(None, 4, 1, bias=True), OWN, reference=grouped(4, 1, 4)),
    Case(jseq.grouped_query_attention(16, 4, 2, 6), OWN, reference=grouped(4, 2, 6)),
    Case(jseq.grouped_query_attention(16, 4, 2, is_causal=False), OWN, reference=grouped(4, 2, 4, everywhere)),
    Case(jseq.grouped_query_attention(16, 4, 2, window=3), OWN,
         reference=grouped(4, 2, 4, lambda t, s: t - 3 < s <= t)),
    Case(jseq.grouped_query_attention(16, 4, 2, rotary=False), OWN, reference=grouped(4, 2, 4, turn=plain)),
    Case(jseq.grouped_query_attention(16, 4, 2, base=100.0, interleaved=True), OWN,
         reference=grouped(4, 2, 4, turn=lambda a: turned(a, 100.0, interleaved=True))),
    Case(jseq.grouped_query_attention(16, 4, 2), OWN, context={"positions": ints(50, 2, 6)},
         reference=grouped(4, 2, 4, turn=lambda a: turned(a, 10000.0, drawn(ints(50, 2, 6))))),
    Case(jseq.grouped_query_attention(16, 4, 2), OWN, context={"key_padding_mask": bools(2, 6)},
         reference=grouped(4, 2, 4, masks=np.repeat(drawn(bools(2, 6))[:, None], 6, 1))),
    Case(jseq.grouped_query_attention(16, 4, 2, is_causal=False), OWN, context={"mask": bools(6, 6)},
         reference=grouped(4, 2, 4, everywhere, masks=np.repeat(drawn(bools(6, 6))[None], 2, 0))),
)  # fmt: skip

CASES = [
    same(
        "8, 2, 0.3",
        variants=(
            same("8, 2", train=True),
            same("8, 4, bias=False", train=True),
            same("8, 1"),
            Case(jseq.multihead_attention(None, 2), X, "nn.MultiheadAttention(8, 2, batch_first=True)",
                 torch_call=SELF.format("")),
            same("8, 2", floats(5, 8), batched=False),
            same("8, 2", floats(2, 3, 5, 8), torch_call="module(*[x[0].flatten(0, 1)] * 3)[0].unflatten(0, (2, 3))"),
            same("8, 2", CROSS, train=True),
            same("8, 2, bias=False", CROSS),
            same("8, 2, kdim=5, vdim=7", WIDE, train=True),
            same("8, 2, 0.0, False, False, False, 5, 7", WIDE),
            same("8, 2, vdim=7", (floats(3, 4, 8), floats(3, 6, 8), floats(3, 6, 7))),
            same("8, 2", (floats(4, 8), floats(6, 8), floats(6, 8)), batched=False),
            *MASKED,
            *EXTENDED,
        ),
    ),
    Case(jseq.grouped_query_attention(16, 4, 2, dropout=0.2), OWN, reference=grouped(4, 2, 4), variants=GROUPED),
]  # fmt: skip
