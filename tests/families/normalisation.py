"""Cases of jseq/_layers/batch_norm.py and normalisation.py."""

import jseq
from tests.case import Case, floats

IMAGE = floats(3, 4, 5, 6)

CASES = [
    Case(
        jseq.batch_norm(6), IMAGE, "nn.BatchNorm2d(6)", layout="channels", train=True,
        variants=(
            Case(jseq.batch_norm(6), floats(8, 6), "nn.BatchNorm1d(6)", train=True),
            Case(jseq.batch_norm(6), floats(4, 7, 6), "nn.BatchNorm1d(6)", layout="channels", train=True),
            Case(jseq.batch_norm(6), floats(2, 2, 3, 2, 6), "nn.BatchNorm3d(6)", layout="channels", train=True),
            Case(
                jseq.batch_norm(6, 0.01, 0.3, False), IMAGE, "nn.BatchNorm2d(6, 0.01, 0.3, False)",
                layout="channels", train=True,
            ),
            Case(
                jseq.batch_norm(6, track_running_stats=False), IMAGE,
                "nn.BatchNorm2d(6, track_running_stats=False)", layout="channels", train=True,
            ),
            Case(
                jseq.batch_norm(6, momentum=None), IMAGE, "nn.BatchNorm2d(6, momentum=None)",
                layout="channels", train=True,
            ),
            Case(
                jseq.batch_norm(6, bias=False), IMAGE, "nn.BatchNorm2d(6, bias=False)",
                layout="channels", train=True,
            ),
            Case(jseq.batch_norm(None), IMAGE, "nn.LazyBatchNorm2d()", layout="channels", train=True),
        ),
    ),
    Case(
        jseq.layer_norm(6), floats(4, 5, 6), "nn.LayerNorm(6)", train=True,
        variants=(
            Case(jseq.layer_norm((5, 6), 0.01), floats(4, 5, 6), "nn.LayerNorm((5, 6), 0.01)"),
            Case(jseq.layer_norm(6, bias=False), floats(4, 6), "nn.LayerNorm(6, bias=False)"),
            Case(jseq.layer_norm(6, 1e-5, False), floats(4, 6), "nn.LayerNorm(6, elementwise_affine=False)"),
            Case(jseq.layer_norm(None), floats(4, 6), "nn.LayerNorm(6)"),
        ),
    ),
]  # fmt: skip
