"""Cases of dropout, embedding and shape."""

import jseq
from tests.case import Case, floats, ints

CASES = [
    Case(jseq.dropout(0.5), floats(4, 5), "nn.Dropout(0.5)", variants=(Case(jseq.dropout(0), floats(4, 5), "nn.Dropout(0)"),)),
    Case(
        jseq.embedding(7, 3), ints(7, 4, 5), "nn.Embedding(7, 3)",
        variants=(
            Case(jseq.embedding(7, 3, padding_idx=2), ints(7, 4, 5), "nn.Embedding(7, 3, padding_idx=2)"),
            Case(jseq.embedding(7, 3, padding_idx=-1), ints(7, 4, 5), "nn.Embedding(7, 3, padding_idx=-1)"),
            Case(
                jseq.embedding(7, 3, scale_grad_by_freq=True), ints(7, 4, 5),
                "nn.Embedding(7, 3, scale_grad_by_freq=True)",
            ),
        ),
    ),
    Case(
        jseq.flatten(), floats(2, 3, 4, 5), "nn.Flatten()", batched=False,
        variants=(Case(jseq.flatten(-3, -2), floats(2, 3, 4, 5), "nn.Flatten(-3, -2)"),),
    ),
]  # fmt: skip
