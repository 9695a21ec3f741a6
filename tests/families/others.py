"""Cases of jseq/_layers/shape.py that stand nowhere else yet."""

import jseq
from tests.case import Case, floats

CASES = [
    Case(
        jseq.flatten(), floats(2, 3, 4, 5), "nn.Flatten()", batched=False,
        variants=(Case(jseq.flatten(-3, -2), floats(2, 3, 4, 5), "nn.Flatten(-3, -2)"),),
    ),
]  # fmt: skip
