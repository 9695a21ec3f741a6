"""Cases of jseq/_layers/linear.py."""

import jseq
from tests.case import Case, floats

CASES = [
    Case(jseq.identity(), floats(4, 5), "nn.Identity()"),
    Case(
        jseq.linear(5, 7),
        floats(4, 5),
        "nn.Linear(5, 7)",
        variants=(
            Case(jseq.linear(5, 7, bias=False), floats(4, 5), "nn.Linear(5, 7, bias=False)"),
            Case(jseq.linear(None, 7), floats(2, 3, 5), "nn.LazyLinear(7)"),
        ),
    ),
]
