"""Cases of jseq/_layers/distance.py."""

import jseq
from tests.case import Case, floats

PAIR = (floats(4, 5), floats(4, 5))


def same(name: str, torch_name: str, arguments: str = "", x=PAIR, **options) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.{name}({arguments})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", **options)


def clamped(params, x):
    """The norms are far below eps=8, by which both are divided."""
    return (x[0] * x[1]).sum(-1) / 64


def distance(arguments: str, x=PAIR) -> Case:
    return same("pairwise_distance", "PairwiseDistance", arguments, x)


CASES = [
    same(
        "cosine_similarity", "CosineSimilarity", "-1",
        variants=(
            same("cosine_similarity", "CosineSimilarity", "1", (floats(3, 4, 2), floats(3, 4, 2))),
            # torch's gradient there is not that of its value: it clamps the norms behind autograd's back.
            Case(jseq.cosine_similarity(eps=8.0), PAIR, reference=clamped),
            Case(jseq.cosine_similarity(), (floats(2, 3, 4, 5), floats(2, 3, 4, 5)), "nn.CosineSimilarity(-1)"),
            same("cosine_similarity", "CosineSimilarity", "-1", (floats(4, 1, 5), floats(3, 5)), batched=False),
        ),
    ),
    same(
        "pairwise_distance", "PairwiseDistance",
        variants=(
            distance("1.0"),
            distance("3.0, 0.01"),
            distance("0.5"),
            distance("float('inf')"),
            distance("2.0, keepdim=True"),
            distance("2.0, 0.0", (floats(2, 3, 5), floats(2, 3, 5))),
            distance("2.0, 1e-3", (floats(4, 1, 5), floats(3, 5))),
        ),
    ),
]  # fmt: skip
