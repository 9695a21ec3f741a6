"""Cases of jseq/_layers/pooling.py."""

import jseq
from tests.case import Case, floats

X = floats(2, 7, 8, 3)


def pool(jseq_name: str, torch_name: str, arguments: str, x=X) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.{jseq_name}({arguments})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", layout="channels")


CASES = [
    Case(
        jseq.max_pool2d(2), X, "nn.MaxPool2d(2)", layout="channels",
        variants=(
            pool("max_pool2d", "MaxPool2d", "3, 2, 1"),
            pool("max_pool2d", "MaxPool2d", "(2, 3), (1, 2), (1, 0), (2, 1)"),
            pool("max_pool2d", "MaxPool2d", "3, 2, ceil_mode=True"),
            pool("max_pool2d", "MaxPool2d", "2, return_indices=True"),
        ),
    ),
    Case(
        jseq.avg_pool2d(2), X, "nn.AvgPool2d(2)", layout="channels",
        variants=(
            pool("avg_pool2d", "AvgPool2d", "3, 2, 1"),
            pool("avg_pool2d", "AvgPool2d", "3, 2, 1, count_include_pad=False"),
            pool("avg_pool2d", "AvgPool2d", "(3, 2), (2, 3), (1, 0), ceil_mode=True"),
            pool("avg_pool2d", "AvgPool2d", "3, divisor_override=4"),
        ),
    ),
]  # fmt: skip
