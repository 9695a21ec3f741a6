"""Cases of jseq/_layers/activation.py."""

import jseq
from tests.case import Case, floats

X = floats(4, 5)

CASES = [
    Case(jseq.relu(), X, "nn.ReLU()"),
    Case(jseq.leaky_relu(), X, "nn.LeakyReLU()", variants=(Case(jseq.leaky_relu(0.3), X, "nn.LeakyReLU(0.3)"),)),
    Case(
        jseq.prelu(), X, "nn.PReLU()",
        variants=(Case(jseq.prelu(3, 0.1), floats(2, 4, 3), "nn.PReLU(3, 0.1)", layout="channels"),),
    ),
    Case(jseq.sigmoid(), X, "nn.Sigmoid()"),
    Case(jseq.tanh(), X, "nn.Tanh()"),
    Case(jseq.gelu(), X, "nn.GELU()", variants=(Case(jseq.gelu("tanh"), X, "nn.GELU('tanh')"),)),
    Case(jseq.silu(), X, "nn.SiLU()"),
    Case(jseq.softmax(), X, "nn.Softmax(-1)", variants=(Case(jseq.softmax(1), floats(2, 3, 4), "nn.Softmax(1)"),)),
    Case(
        jseq.log_softmax(), X, "nn.LogSoftmax(-1)",
        variants=(Case(jseq.log_softmax(1), floats(2, 3, 4), "nn.LogSoftmax(1)"),),
    ),
]  # fmt: skip
