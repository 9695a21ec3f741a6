"""Cases of jseq/_layers/feed_forward.py and jseq/_combinators/mlp.py."""

import math

import numpy as np

import jseq
from tests.case import Case, floats

X = floats(4, 6)


def network(*parts: tuple[str, str]) -> str:
    """torch's network of the same names."""
    rows = ", ".join(f"({name!r}, nn.{module})" for name, module in parts)
    return f"nn.Sequential(__import__('collections').OrderedDict([{rows}]))"


def two(activation: str, bias: str = "") -> str:
    first, last = f"Linear(6, 8{bias})", f"Linear(8, 3{bias})"
    return network(("linear1", first), ("activation1", activation), ("linear2", last))


DEEP = network(
    ("linear1", "Linear(6, 5)"), ("activation1", "ReLU()"), ("linear2", "Linear(5, 4)"), ("activation2", "ReLU()"),
    ("linear3", "Linear(4, 3)"),
)  # fmt: skip
EVEN = DEEP.replace("(6, 5)", "(6, 4)").replace("(5, 4)", "(4, 4)")


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + np.exp(-x))


def gated(gate):
    """`w2(gate(w1(x)) * w3(x))` in numpy."""

    def reference(params, x):
        def through(name, x):
            return x @ params[name]["weight"] + params[name].get("bias", 0)

        return through("w2", gate(through("w1", x)) * through("w3", x))

    return reference


CASES = [
    Case(
        jseq.mlp(6, 8, 3, dropout=0.25), X, two("ReLU()"),
        variants=(
            Case(jseq.mlp(6, 8, 3), X, two("ReLU()"), train=True),
            Case(jseq.mlp(6, 8, 3, activation="gelu", bias=False), X, two("GELU()", ", bias=False"), train=True),
            Case(jseq.mlp(6, 8, 3, 2, jseq.prelu()), X, two("PReLU()"), train=True),
            Case(jseq.mlp(6, (5, 4), 3), X, DEEP),
            Case(jseq.mlp(6, 4, 3, 3), X, EVEN),
            Case(jseq.mlp(None, 4, 3, num_layers=3), floats(2, 5, 6), EVEN),
            Case(jseq.mlp(6, 4, 3, num_layers=1), X, network(("linear1", "Linear(6, 3)"))),
            Case(jseq.mlp(6, (), 3), floats(6), network(("linear1", "Linear(6, 3)")), batched=False),
        ),
    ),
    Case(
        jseq.swiglu(6), X, reference=gated(silu),
        variants=(
            Case(jseq.swiglu(6, 5, bias=True), floats(2, 3, 6), reference=gated(silu)),
            Case(jseq.swiglu(None, 5), floats(6), reference=gated(silu), batched=False),
        ),
    ),
    Case(
        jseq.geglu(6), X, reference=gated(gelu),
        variants=(
            Case(jseq.geglu(6, 5, bias=True), floats(2, 3, 6), reference=gated(gelu)),
            Case(jseq.geglu(None, 5, approximate="tanh"), floats(2, 3, 6), reference=gated(tanh_gelu)),
        ),
    ),
]  # fmt: skip
