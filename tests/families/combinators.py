"""Cases of jseq/_combinators: chains, graphs, depth."""

import jax
import numpy as np

import jseq
from tests.case import Case, floats

X = floats(4, 5)
BLOCK = jseq.residual(jseq.sequential(jseq.layer_norm(5), jseq.linear(5, 6), jseq.dropout(0.5), jseq.linear(6, 5)))
NORMED = jseq.sequential(jseq.linear(5, 5), jseq.batch_norm(5), jseq.tanh())


def affine(params, x):
    return x @ params["weight"] + params["bias"]


def block(params, x):
    """The graph below, in numpy: one dense layer twice, and a skip."""
    h = np.tanh(affine(params["fc"], x))
    return np.tanh(affine(params["fc"], h) + x)


WIRED = jseq.graph(
    {"fc": jseq.linear(5, 5), "act": jseq.tanh(), "plus": jseq.add()},
    {"a": ("fc", "x"), "h": ("act", "a"), "b": ("fc", "h"), "sum": ("plus", "b", "x"), "y": ("act", "sum")},
)
NESTED = jseq.graph(
    {"blocks": jseq.parallel(NORMED, jseq.sequential(jseq.linear(5, 5), jseq.dropout(0.5))), "plus": jseq.add()},
    {"h": ("blocks.0", "x"), "b": ("blocks.1.0", "h"), "d": ("blocks.1.1", "b"), "e": ("blocks.1.1", "d"),
     "y": ("plus", "e", "x")},
)  # fmt: skip

CASES = [
    Case(jseq.lift(jax.nn.relu), X, "nn.ReLU()"),
    Case(
        jseq.sequential(jseq.linear(5, 7), jax.nn.tanh, jseq.sequential({"head": jseq.linear(7, 2)})), X,
        reference=lambda p, x: affine(p[2]["head"], np.tanh(affine(p[0], x))),
        variants=(
            Case(jseq.sequential(), X, "nn.Sequential()"),
            Case(
                jseq.sequential(jseq.linear(5, 7), jseq.batch_norm(7), jseq.relu(), jseq.linear(7, 2)), X,
                "nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 2))", train=True,
            ),
            Case(
                jseq.sequential({"fc": jseq.linear(5, 7), "norm": jseq.batch_norm(7)}), X,
                "nn.Sequential(__import__('collections').OrderedDict(fc=nn.Linear(5, 7), norm=nn.BatchNorm1d(7)))",
                train=True,
            ),
        ),
    ),
    Case(
        jseq.branch(jseq.linear(5, 3), jseq.sequential(jseq.tanh(), jseq.dropout(0.5))), X,
        reference=lambda p, x: (affine(p[0], x), np.tanh(x)),
        variants=(
            Case(
                jseq.branch({"a": jseq.linear(5, 3), "b": jseq.identity()}), X,
                reference=lambda p, x: (affine(p["a"], x), x),
            ),
        ),
    ),
    Case(
        jseq.parallel({"user": jseq.linear(5, 3), "item": NORMED}), (X, floats(4, 5)),
        variants=(
            Case(
                jseq.parallel(jseq.linear(5, 3), jseq.tanh()), (X, floats(4, 2)),
                reference=lambda p, x: (affine(p[0], x[0]), np.tanh(x[1])),
            ),
        ),
    ),
    Case(
        jseq.residual(jseq.sequential(jseq.linear(5, 3), jseq.batch_norm(3)), jseq.linear(5, 3, bias=False)), X,
        variants=(
            Case(jseq.residual(jseq.linear(5, 5)), X, reference=lambda p, x: affine(p["layer"], x) + x),
            Case(
                jseq.residual(jseq.linear(5, 3), jseq.linear(5, 3)), X,
                reference=lambda p, x: affine(p["layer"], x) + affine(p["shortcut"], x),
            ),
        ),
    ),
    Case(
        NESTED, X,
        variants=(
            Case(WIRED, X, reference=block),
            Case(
                jseq.graph({"swap": jseq.select(1, 0), "less": jseq.parallel(jseq.linear(5, 3), jseq.tanh()),
                            "spare": jseq.linear(2, 2)}, {"a": ("swap", "x"), "y": ("less", "a")}),
                (floats(4, 2), X), reference=lambda p, x: (affine(p["less"][0], x[1]), np.tanh(x[0])),
            ),
        ),
    ),
    Case(
        jseq.concatenate(), (X, floats(4, 3)), reference=lambda p, x: np.concatenate(x, -1),
        variants=(Case(jseq.concatenate(1), (floats(2, 3, 4), floats(2, 1, 4)),
                       reference=lambda p, x: np.concatenate(x, 1)),),
    ),
    Case(
        jseq.add(), (X, X, X), reference=lambda p, x: x[0] + x[1] + x[2],
        variants=(Case(jseq.add(broadcast=True), (X, floats(4, 1), floats(1, 5)),
                       reference=lambda p, x: x[0] + x[1] + x[2]),),
    ),
    Case(
        jseq.multiply(), (X, X, X), reference=lambda p, x: x[0] * x[1] * x[2],
        variants=(Case(jseq.multiply(broadcast=True), (floats(2, 1, 1, 3), floats(2, 4, 5, 3)),
                       reference=lambda p, x: x[0] * x[1]),),
    ),
    Case(
        jseq.select(1), (X, floats(4, 3)), reference=lambda p, x: x[1],
        variants=(Case(jseq.select(1, 0, 0), (X, floats(4, 3)), reference=lambda p, x: (x[1], x[0], x[0])),),
    ),
    Case(
        jseq.repeat(BLOCK, 3), X,
        variants=(
            Case(
                jseq.repeat(jseq.linear(5, 5), 2), X,
                reference=lambda p, x: (x @ p["weight"][0] + p["bias"][0]) @ p["weight"][1] + p["bias"][1],
            ),
            Case(
                jseq.repeat(jseq.linear(5, 5), 2, stacked=False, remat=True, unroll=2), X,
                reference=lambda p, x: affine(p[1], affine(p[0], x)),
            ),
        ),
    ),
    Case(
        jseq.remat(jseq.sequential(jseq.linear(5, 3), jseq.batch_norm(3), jseq.dropout(0.5))), X,
        variants=(
            Case(jseq.remat(jseq.linear(5, 3), "dots_saveable"), X, "nn.Linear(5, 3)"),
        ),
    ),
]  # fmt: skip
