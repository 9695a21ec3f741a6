"""Cases of jseq/_combinators: ensembles, and wrappers that change what a layer's params are."""

import jax
import numpy as np

import jseq
from tests.case import Case, floats, ints

X = floats(4, 5)
BLOCK = jseq.sequential(jseq.linear(5, 6), jseq.batch_norm(6), jseq.tanh(), jseq.dropout(0.5), jseq.linear(6, 5))
PLAIN = jseq.sequential(jseq.linear(5, 6), jseq.tanh(), jseq.linear(6, 3))
LANGUAGE = jseq.sequential(jseq.embedding(7, 5), jseq.layer_norm(5), jseq.linear(5, 7, bias=False))
UNSETTLED = "u and v move with the weight, and count as fixed: test_gradients.py has those that have settled"
NO_STEP = "the params are frozen: their gradients are zero, finite differences are not"


def affine(params, x):
    return x @ params["weight"] + params["bias"]


def plain(params, x):
    return affine(params[2], np.tanh(affine(params[0], x)))


def each(params, x):
    """A linear layer for each member, all on x or each on its own."""
    xs = x if x.ndim == 3 else [x] * 3
    return np.stack([x @ w + b for x, w, b in zip(xs, params["weight"], params["bias"], strict=True)])


def norm_split(params, x, axes):
    v = params["weight_v"]
    weight = params["weight_g"] * v / np.sqrt((v**2).sum(axes, keepdims=True))
    return x @ weight + params["bias"]


def low_rank(params, x, scale):
    base, adapters = params["base"], params["lora"]
    pairs = {path: scale * pair["a"] @ pair["b"] for path, pair in adapters.items()}
    first = base[0]["weight"] + pairs.get("0.weight", 0)
    last = base[2]["weight"] + pairs.get("2.weight", 0)
    return np.tanh(x @ first + base[0]["bias"]) @ last + base[2]["bias"]


def flat(params, x):
    """The leaves in jax's order: biases before weights, layer by layer."""
    cut = np.split(params["float64"], np.cumsum([6, 30, 3]))
    return np.tanh(x @ cut[1].reshape(5, 6) + cut[0]) @ cut[3].reshape(6, 3) + cut[2]


def language(params, x):
    table, norm = params[0]["weight"], params[1]
    h = table[x]
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5) * norm["weight"] + norm["bias"]
    return h @ table.T


def held(params, x):
    return x @ (params["weight"].astype(x.dtype) * params["weight_scale"]) + params["bias"]


def held_in_halves(params, x):
    """4 bits: the low ones of each byte are rows 0 to 2, the high ones rows 3 and 4; a scale for rows 0 to 1, ..."""
    low, high = (params["weight"] << 4) >> 4, params["weight"] >> 4
    rows = np.concatenate([low, high])[:5]
    return x @ (rows * np.repeat(params["weight_scale"], 2, 0)[:5])


CASES = [
    Case(
        jseq.ensemble(BLOCK, 3), X, batched=False,
        variants=(
            Case(jseq.ensemble(jseq.linear(5, 2), 3), X, batched=False, reference=each),
            Case(jseq.ensemble(jseq.linear(5, 2), 3, shared=False), floats(3, 4, 5), batched=False, reference=each),
            Case(jseq.ensemble(jseq.relu(), 3), X, batched=False,
                 reference=lambda p, x: np.stack([np.maximum(x, 0)] * 3)),
        ),
    ),
    Case(
        jseq.over_batch(jseq.sequential(jseq.flatten(0), jseq.linear(6, 4), jseq.dropout(0.5))), floats(4, 2, 3),
        batched=False, reference=lambda p, x: affine(p[1], x.reshape(4, 6)),
        variants=(Case(jseq.over_batch(jseq.softmax()), X, batched=False,
                       reference=lambda p, x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),),
    ),
    Case(
        jseq.freeze(BLOCK), X, smooth=False, reason=NO_STEP,
        variants=(Case(jseq.freeze(PLAIN), X, smooth=False, reason=NO_STEP, reference=plain),),
    ),
    Case(
        jseq.parametrize(PLAIN, ("0.weight", "2.bias"), jax.nn.softplus), X,
        reference=lambda p, x: np.tanh(x @ np.log1p(np.exp(p[0]["weight"])) + p[0]["bias"]) @ p[2]["weight"]
        + np.log1p(np.exp(p[2]["bias"])),
        variants=(
            Case(jseq.parametrize(BLOCK, "4.weight", jseq.softmax()), X),
            Case(jseq.parametrize(jseq.linear(None, 2), "weight", jseq.sequential(jseq.tanh(), jseq.tanh())), X,
                 reference=lambda p, x: x @ np.tanh(np.tanh(p["weight"])) + p["bias"]),
        ),
    ),
    Case(
        jseq.weight_norm(jseq.linear(5, 3)), X, reference=lambda p, x: norm_split(p, x, (0,)),
        variants=(
            Case(jseq.weight_norm(jseq.linear(5, 3), dim=0), X, reference=lambda p, x: norm_split(p, x, (1,))),
            Case(jseq.weight_norm(jseq.linear(None, 3), dim=None), X,
                 reference=lambda p, x: norm_split(p, x, (0, 1))),
            Case(jseq.weight_norm(BLOCK, "4.weight"), X),
        ),
    ),
    Case(
        jseq.power_iteration(), floats(4, 5), batched=False, smooth=False,
        reason="no gradient passes through u and v, which finite differences see move",
        variants=(Case(jseq.power_iteration(3, 1e-6, 0), floats(2, 3, 4), batched=False),),
    ),
    Case(
        jseq.spectral_norm(jseq.linear(5, 3)), X, smooth=False, reason=UNSETTLED,
        variants=(Case(jseq.spectral_norm(BLOCK, "4.weight", 2), X),),
    ),
    Case(
        jseq.lora(PLAIN, 2, 4.0), X, smooth=False, reason=NO_STEP, reference=lambda p, x: low_rank(p, x, 2.0),
        variants=(
            Case(jseq.lora(PLAIN, 2, select="2.weight"), X, reference=lambda p, x: low_rank(p, x, 1.0)),
            Case(jseq.lora(BLOCK, 1, select=("0.*", "4/weight")), X),
        ),
    ),
    Case(
        jseq.tie(LANGUAGE, "0.weight", "2.weight", transpose=True), ints(7, 4, 3), reference=language,
        variants=(
            Case(
                jseq.tie(jseq.sequential({"a": jseq.linear(5, 5), "b": jseq.linear(None, 5)}), "a.weight", "b.weight"),
                X, reference=lambda p, x: affine(p["a"], x) @ p["a"]["weight"] + p["b"]["bias"],
            ),
        ),
    ),
    Case(
        jseq.packed(BLOCK), X,
        variants=(
            Case(jseq.packed(PLAIN), X, reference=flat),
            Case(jseq.packed(jseq.sequential(jseq.linear(None, 6), jseq.tanh(), jseq.linear(None, 3))), X,
                 reference=flat),
            Case(jseq.packed(jseq.relu()), X, reference=lambda p, x: np.maximum(x, 0)),
        ),
    ),
    Case(
        jseq.quantized(jseq.linear(5, 3)), X, reference=held,
        variants=(
            Case(jseq.quantized(jseq.linear(5, 3, bias=False), 4, 2), X, reference=held_in_halves),
            Case(jseq.quantized(BLOCK, select="4.weight"), X),
            Case(jseq.quantized(jseq.linear(None, 3), bits=4), X),
            Case(jseq.quantized(jseq.embedding(7, 5)), ints(7, 4, 3),
                 reference=lambda p, x: p["weight"][x] * p["weight_scale"][x]),
        ),
    ),
]  # fmt: skip
