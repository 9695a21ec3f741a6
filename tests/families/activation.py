"""Cases of jseq/_layers/activation.py, activation_pieces, activation_smooth, activation_shrink, _softmax and _gated."""

import jseq
from tests.case import Case, floats

X = floats(4, 5)
WIDE = floats(4, 5, low=-0.5)  # around 0, where the pieces meet
FAR = floats(3, 7, low=20.0)  # where exp overflows or a threshold is passed

SIXTH = {"tolerance": 1e-8, "reason": "torch's gradient is the float32 number nearest to 1/6, in float64 too"}


def same(name: str, torch_name: str, arguments: str = "", x=X, **options) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.{name}({arguments})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", **options)


CASES = [
    same("relu", "ReLU", variants=(same("relu", "ReLU", x=floats(2, 3, 4, 5)),)),
    same("leaky_relu", "LeakyReLU", variants=(same("leaky_relu", "LeakyReLU", "0.3"),)),
    same(
        "prelu", "PReLU",
        variants=(
            same("prelu", "PReLU", "3, 0.1", floats(2, 4, 3), layout="channels"),
            same("prelu", "PReLU", "3", floats(2, 4, 5, 3), layout="channels"),
            same("prelu", "PReLU", "1", floats(2, 4, 3)),
        ),
    ),
    same("sigmoid", "Sigmoid", variants=(same("sigmoid", "Sigmoid", x=FAR),)),
    same("tanh", "Tanh", variants=(same("tanh", "Tanh", x=FAR),)),
    same("gelu", "GELU", variants=(same("gelu", "GELU", "'tanh'"), same("gelu", "GELU", "'tanh'", FAR))),
    same("silu", "SiLU", variants=(same("silu", "SiLU", x=FAR),)),
    same(
        "softmax", "Softmax", "-1",
        variants=(same("softmax", "Softmax", "1", floats(2, 3, 4)), same("softmax", "Softmax", "0", floats(3, 4))),
    ),
    same("log_softmax", "LogSoftmax", "-1", variants=(same("log_softmax", "LogSoftmax", "1", floats(2, 3, 4)),)),
    same(
        "softmin", "Softmin", "-1",
        variants=(same("softmin", "Softmin", "1", floats(2, 3, 4)), Case(jseq.softmin(), FAR, "nn.Softmin(1)")),
    ),
    same(
        "softmax2d", "Softmax2d", x=floats(2, 3, 4, 5), layout="channels",
        variants=(Case(jseq.softmax2d(), floats(3, 4, 5), "nn.Softmax2d()",
                       torch_call="module(x[0].movedim(-1, 0)).movedim(0, -1)", batched=False),),
    ),
    same(
        "glu", "GLU", x=floats(4, 6),
        variants=(
            same("glu", "GLU", "1", floats(2, 4, 3)),
            same("glu", "GLU", "-2", floats(2, 4, 3)),
            Case(jseq.glu(), floats(2, 3, 4, 6), "nn.GLU(1)", layout="channels"),
        ),
    ),
    same("relu6", "ReLU6", variants=(same("relu6", "ReLU6", x=floats(4, 5, low=5.5)),)),
    same("hardtanh", "Hardtanh", variants=(same("hardtanh", "Hardtanh", "-0.25, 0.5", WIDE),)),
    same(
        "hardsigmoid", "Hardsigmoid", **SIXTH,
        variants=(same("hardsigmoid", "Hardsigmoid", x=floats(4, 5, low=2.5), **SIXTH),
                  same("hardsigmoid", "Hardsigmoid", x=floats(4, 5, low=-3.5), **SIXTH)),
    ),
    same(
        "hardswish", "Hardswish",
        variants=(same("hardswish", "Hardswish", x=floats(4, 5, low=2.5)),
                  same("hardswish", "Hardswish", x=floats(4, 5, low=-3.5))),
    ),
    same(
        "rrelu", "RReLU",
        variants=(same("rrelu", "RReLU", "0.25, 0.75"), same("rrelu", "RReLU", "0.25, 0.25")),
    ),
    same(
        "elu", "ELU",
        variants=(
            same("elu", "ELU", "0.5", WIDE),
            same("elu", "ELU", "-0.5"),
            same("elu", "ELU", x=FAR),
        ),
    ),
    same(
        "celu", "CELU",
        variants=(
            same("celu", "CELU", "0.5", WIDE),
            same("celu", "CELU", "2.0"),
            same("celu", "CELU", x=FAR),
        ),
    ),
    same("selu", "SELU", variants=(same("selu", "SELU", x=WIDE), same("selu", "SELU", x=FAR))),
    same("logsigmoid", "LogSigmoid", variants=(same("logsigmoid", "LogSigmoid", x=floats(3, 7, low=-800.0)),)),
    same("mish", "Mish", variants=(same("mish", "Mish", x=FAR), same("mish", "Mish", x=floats(3, 7, low=19.5)))),
    same(
        "softplus", "Softplus",
        variants=(
            same("softplus", "Softplus", "2.0, 1.0"),
            same("softplus", "Softplus", "threshold=0.1"),
            same("softplus", "Softplus", "-1.5"),
            same("softplus", "Softplus", x=floats(4, 5, low=19.5)),
        ),
    ),
    same("softsign", "Softsign", variants=(same("softsign", "Softsign", x=FAR),)),
    same(
        "hardshrink", "Hardshrink",
        variants=(
            same("hardshrink", "Hardshrink", "0.1", WIDE),
            same("hardshrink", "Hardshrink", "0"),
        ),
    ),
    same(
        "softshrink", "Softshrink",
        variants=(
            same("softshrink", "Softshrink", "0.1", WIDE),
            same("softshrink", "Softshrink", "0"),
        ),
    ),
    same("tanhshrink", "Tanhshrink", variants=(same("tanhshrink", "Tanhshrink", x=FAR),)),
    same("threshold", "Threshold", "0.25, -5.0", variants=(same("threshold", "Threshold", "-0.5, 2", WIDE),)),
]  # fmt: skip
