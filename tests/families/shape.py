"""Cases of jseq/_layers/shape.py; flatten stands in others.py."""

import numpy as np

import jseq
from tests.case import Case, floats

X = floats(2, 3, 4, 5)

CASES = [
    Case(
        jseq.unflatten(-1, (2, 3)), floats(4, 6), "nn.Unflatten(-1, (2, 3))",
        variants=(
            Case(jseq.unflatten(1, (2, 3)), floats(4, 6), "nn.Unflatten(1, (2, 3))", batched=False),
            Case(jseq.unflatten(-1, (2, -1, 2)), floats(3, 8), "nn.Unflatten(-1, (2, -1, 2))"),
            Case(jseq.unflatten(-2, (3, 2)), floats(4, 6, 5), "nn.Unflatten(-2, (3, 2))"),
            Case(jseq.unflatten(1, (3,)), floats(4, 3), "nn.Unflatten(1, (3,))", batched=False),
            Case(jseq.unflatten(0, (2, 3)), floats(6, 2), "nn.Unflatten(0, (2, 3))", batched=False),
        ),
    ),
    Case(
        jseq.reshape((2, -1), -2), floats(3, 4, 5), reference=lambda params, x: x.reshape(3, 2, 10),
        variants=(
            Case(jseq.reshape((2, -1)), X, reference=lambda params, x: x.reshape(2, 2, 30), batched=False),
            Case(jseq.reshape((10, 6), 1), X, reference=lambda params, x: x.reshape(2, 10, 6), batched=False),
            Case(jseq.reshape((-1,), 0), X, reference=lambda params, x: x.reshape(-1), batched=False),
        ),
    ),
    Case(
        jseq.take(-1, -2), X, reference=lambda params, x: x[:, :, -1],
        variants=(
            Case(jseq.take(1, 1), X, reference=lambda params, x: x[:, 1], batched=False),
            Case(jseq.take(0, -1), X, reference=lambda params, x: x[..., 0]),
        ),
    ),
    Case(
        jseq.permute((-1, -3, -2)), X, reference=lambda params, x: np.moveaxis(x, -1, 1),
        variants=(
            Case(jseq.permute((-1, -2)), X, reference=lambda params, x: np.swapaxes(x, -1, -2)),
            Case(jseq.permute((0, 3, 1, 2)), X, reference=lambda params, x: np.moveaxis(x, -1, 1), batched=False),
            Case(jseq.permute((-2, -4, -1, -3)), X, reference=lambda params, x: x.transpose(2, 0, 3, 1), batched=False),
        ),
    ),
]  # fmt: skip
