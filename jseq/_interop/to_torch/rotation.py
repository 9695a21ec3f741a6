"""Attention of groups at rotary positions, which torch.nn has no module for."""

import math
from typing import Any

from jseq._interop.extras import need
from jseq._interop.to_torch.classes import Own, made, plain
from jseq._interop.to_torch.layers import by_name
from jseq._interop.to_torch.registry import Call


def angles(x: Any, base: float, interleaved: bool) -> Any:
    """Rotates pairs of features of x (..., T, heads, d); angles are float32 for half precision."""
    torch, half = need("torch", "torch"), x.shape[-1] // 2
    exact = torch.promote_types(x.dtype, torch.float32)
    rates = torch.exp(torch.arange(half, device=x.device, dtype=exact) * (-math.log(base) / half))
    turns = torch.arange(x.shape[-3], device=x.device, dtype=exact)[:, None, None] * rates
    cos, sin = turns.cos(), turns.sin()
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = ((a * cos - b * sin).to(x.dtype), (b * cos + a * sin).to(x.dtype))
    return torch.stack(turned, -1).reshape(x.shape) if interleaved else torch.cat(turned, -1)


def seen(length: int, window: int | None, device: Any) -> Any:
    """Which positions each one sees: those before it, itself included, at most `window` of them."""
    torch = need("torch", "torch")
    mask = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return mask if window is None else mask.triu(1 - window)


class GroupedAttention(Own):
    """Heads that share keys and values in groups."""

    def forward(self: Any, x: Any) -> Any:
        functional = need("torch.nn.functional", "torch")
        heads = {"q_proj": self.num_heads, "k_proj": self.num_kv_heads, "v_proj": self.num_kv_heads}
        q, k, v = (getattr(self, name)(x).unflatten(-1, (n, -1)) for name, n in heads.items())
        if self.rotary:
            q, k = (angles(a, self.frequency, self.interleaved) for a in (q, k))
        k, v = (a.repeat_interleave(self.num_heads // self.num_kv_heads, -2) for a in (k, v))
        mask = seen(x.shape[-2], self.window, x.device) if self.is_causal else None
        dropped = self.dropout if self.training else 0.0
        q, k, v = (a.transpose(-3, -2) for a in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, mask, dropped)
        return self.o_proj(y.transpose(-3, -2).flatten(-2))


@by_name("grouped_query_attention", wants=0)
def grouped_query_attention(call: Call) -> Any:
    names = ("num_heads", "num_kv_heads", "dropout", "is_causal", "window", "rotary", "interleaved")
    parts: dict[str, Any] = {}
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        inside, outside = (call.size(f"{name}.weight", axis) for axis in (0, 1))
        parts[name] = plain("Linear", in_features=inside, out_features=outside, bias=call.options["bias"])
    return made(GroupedAttention, parts, frequency=call.options["base"], **{n: call.options[n] for n in names})
