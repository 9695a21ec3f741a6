"""Cases of jseq/_layers/convolution.py."""

import jseq
from tests.case import Case, floats

X = floats(2, 7, 8, 3)


def conv2d(arguments: str, x=X) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.conv2d({arguments})", {"jseq": jseq})
    return Case(layer, x, f"nn.Conv2d({arguments})", layout="channels")


CASES = [
    Case(
        jseq.conv2d(3, 4, 3), X, "nn.Conv2d(3, 4, 3)", layout="channels",
        variants=(
            conv2d("3, 4, (3, 2), stride=(2, 1), padding=(1, 2)"),
            conv2d("3, 4, 3, padding='same'"),
            conv2d("3, 4, (2, 4), padding='same', dilation=2"),
            conv2d("3, 4, 3, padding='valid', bias=False"),
            conv2d("3, 6, 3, groups=3"),
            conv2d("4, 6, 3, groups=2, dilation=2", floats(2, 7, 8, 4)),
            conv2d("3, 4, 1"),
            conv2d("3, 4, 3, padding=1, padding_mode='reflect'"),
            conv2d("3, 4, 3, padding=1, padding_mode='replicate'"),
            conv2d("3, 4, 3, padding=2, padding_mode='circular'"),
            Case(jseq.conv2d(None, 4, 3), X, "nn.LazyConv2d(4, 3)", layout="channels"),
        ),
    ),
]  # fmt: skip
