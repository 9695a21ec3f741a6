"""Cases of jseq/_combinators."""

import jax

import jseq
from tests.case import Case, floats

CASES = [
    Case(jseq.lift(jax.nn.relu), floats(4, 5), "nn.ReLU()"),
    Case(
        jseq.sequential(jseq.linear(5, 7), jax.nn.tanh, jseq.sequential({"head": jseq.linear(7, 2)})),
        floats(4, 5),
        variants=(Case(jseq.sequential(), floats(4, 5), "nn.Sequential()"),),
    ),
]
