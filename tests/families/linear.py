"""Cases of jseq/_layers/linear.py, arithmetic.py and parameter.py."""

import jseq
from tests.case import Case, floats, ints

PAIR = (floats(4, 3), floats(4, 5))

CASES = [
    Case(jseq.identity(), floats(4, 5), "nn.Identity()"),
    Case(
        jseq.linear(5, 7),
        floats(4, 5),
        "nn.Linear(5, 7)",
        variants=(
            Case(jseq.linear(5, 7, bias=False), floats(4, 5), "nn.Linear(5, 7, bias=False)"),
            Case(jseq.linear(None, 7), floats(2, 3, 5), "nn.LazyLinear(7)"),
            Case(jseq.linear(5, 7), floats(5), "nn.Linear(5, 7)", batched=False),
        ),
    ),
    Case(
        jseq.bilinear(3, 5, 2),
        PAIR,
        "nn.Bilinear(3, 5, 2)",
        variants=(
            Case(jseq.bilinear(3, 5, 2, bias=False), PAIR, "nn.Bilinear(3, 5, 2, bias=False)"),
            Case(jseq.bilinear(None, None, 2), PAIR, "nn.Bilinear(3, 5, 2)"),
            Case(jseq.bilinear(3, 5, 1), (floats(2, 3, 3), floats(2, 3, 5)), "nn.Bilinear(3, 5, 1)"),
        ),
    ),
    Case(
        jseq.arithmetic("subtract", 1, True),
        floats(4, 5),
        reference=lambda params, x: 1 - x,
        variants=(
            Case(jseq.arithmetic("add", 2), floats(4, 5), reference=lambda params, x: x + 2),
            Case(jseq.arithmetic("multiply", 0.5), floats(4, 5), reference=lambda params, x: x * 0.5),
            Case(jseq.arithmetic("divide", 3.0), floats(4, 5), reference=lambda params, x: x / 3),
            Case(jseq.arithmetic("power", 2), floats(4, 5), reference=lambda params, x: x**2),
        ),
    ),
    Case(
        jseq.scale(5),
        floats(4, 5),
        reference=lambda params, x: x * params["weight"],
        variants=(
            Case(jseq.scale(None, 1e-4), floats(2, 3, 5), reference=lambda params, x: x * params["weight"]),
            Case(jseq.scale(5), floats(5), reference=lambda params, x: x * params["weight"], batched=False),
        ),
    ),
    Case(
        jseq.parameter((1, 5)),
        floats(4, 5),
        reference=lambda params, x: params["weight"],
        batched=False,
        variants=(Case(jseq.parameter(()), ints(7, 4), reference=lambda params, x: params["weight"], batched=False),),
    ),
    Case(jseq.buffer((1, 5)), floats(4, 5), reference=lambda state, x: state["value"], batched=False),
    Case(
        jseq.bias(5),
        floats(4, 5),
        reference=lambda params, x: x + params["bias"],
        variants=(Case(jseq.bias(None, 0.5), floats(2, 3, 5), reference=lambda params, x: x + params["bias"]),),
    ),
]
