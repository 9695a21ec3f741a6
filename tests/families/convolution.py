"""Cases of jseq/_layers/convolution.py, conv_transpose.py, separable.py and squeeze_excitation.py."""

from dataclasses import replace

import jax

import jseq
from tests.case import Case, Input, floats

X = {1: floats(2, 9, 3), 2: floats(2, 7, 8, 3), 3: floats(2, 4, 5, 4, 3)}
SMALL = {1: floats(2, 5, 3), 2: floats(2, 4, 3, 3), 3: floats(2, 2, 3, 2, 3)}  # what grows
FOUR = {1: floats(2, 9, 4), 2: floats(2, 7, 8, 4), 3: floats(2, 4, 5, 4, 4)}
SMALL_FOUR = {1: floats(2, 5, 4), 2: floats(2, 4, 3, 4), 3: floats(2, 2, 3, 2, 4)}
TORCH = {"conv": "Conv", "conv_transpose": "ConvTranspose"}


def conv(name: str, n: int, arguments: str, x: Input | None = None, torch_call: str = "module(*x)") -> Case:
    """The same arguments in both libraries; None as the first of them is torch's Lazy module."""
    layer = eval(f"jseq.{name}{n}d({arguments})", {"jseq": jseq})
    lazy, _, rest = arguments.partition("None, ")
    module = f"Lazy{TORCH[name]}{n}d({rest})" if not lazy else f"{TORCH[name]}{n}d({arguments})"
    given = x or (X if name == "conv" else SMALL)[n]
    return Case(layer, given, f"nn.{module}", torch_call, layout="channels")


def without_batch(name: str, n: int, arguments: str) -> Case:
    case = conv(name, n, arguments, floats(*SMALL[n].shape[1:]), "module(x[0].movedim(-1, 0)).movedim(0, -1)")
    return replace(case, layout="last", batched=False)


def with_two_batch_axes(name: str, n: int, arguments: str) -> Case:
    call = "module(x[0].flatten(0, 1).movedim(-1, 1)).movedim(1, -1).unflatten(0, (2, 2))"
    return replace(conv(name, n, arguments, floats(2, *SMALL[n].shape), call), layout="last")


def with_pairs(n: int, padding: str, sides: str, arguments: str = "3, 4, 2") -> Case:
    """torch pads first: it knows no (before, after) pairs, and warns of "same" where they differ."""
    layer = eval(f"jseq.conv{n}d({arguments}, padding={padding})", {"jseq": jseq})
    call = f"module(nn.functional.pad(x[0], {sides}))"
    return Case(layer, X[n], f"nn.Conv{n}d({arguments})", call, layout="channels")


def convolution(n: int, *more: Case) -> Case:
    """What all three have in common, and what is special to one."""
    variants = (
        conv("conv", n, "3, 4, 3, stride=2, padding=1"),
        conv("conv", n, "3, 4, 2, padding='same', dilation=2"),
        conv("conv", n, "3, 4, 3, padding='valid', bias=False"),
        conv("conv", n, "3, 6, 3, groups=3"),
        conv("conv", n, "4, 6, 2, groups=2, dilation=2", FOUR[n]),
        conv("conv", n, "4, 6, 1, stride=2", FOUR[n]),
        conv("conv", n, "3, 4, 3, padding=1, padding_mode='reflect'"),
        conv("conv", n, "3, 4, 3, padding=1, padding_mode='replicate'"),
        conv("conv", n, "3, 4, 3, padding=2, padding_mode='circular'"),
        conv("conv", n, "None, 4, 3"),
        conv("conv", n, "None, 6, 2, groups=3, bias=False"),
        without_batch("conv", n, "3, 4, 2"),
        with_two_batch_axes("conv", n, "3, 4, 2"),
    )
    return replace(conv("conv", n, "3, 4, 3"), variants=(*variants, *more))


def transposed(n: int, *more: Case) -> Case:
    name = "conv_transpose"
    variants = (
        conv(name, n, "3, 4, 3, stride=2, padding=1, output_padding=1"),
        conv(name, n, "3, 4, 2, dilation=2, output_padding=1, bias=False"),
        conv(name, n, "3, 6, 2, 2, 0, 0, 3"),
        conv(name, n, "4, 6, 2, groups=2, stride=3", SMALL_FOUR[n]),
        conv(name, n, "3, 4, 1, padding_mode='zeros'"),
        conv(name, n, "None, 4, 3, 2"),
        conv(name, n, "None, 6, 2, groups=3"),
        without_batch(name, n, "3, 4, 3, 2"),
        with_two_batch_axes(name, n, "3, 4, 2, 2"),
    )
    return replace(conv(name, n, "3, 4, 3"), variants=(*variants, *more))


def separable(arguments: str, depthwise: str, pointwise: str) -> Case:
    """torch has no module for it: the two that it is made of."""
    layer = eval(f"jseq.separable_conv2d({arguments})", {"jseq": jseq})
    module = f"nn.ModuleDict(dict(depthwise=nn.Conv2d({depthwise}), pointwise=nn.Conv2d({pointwise})))"
    return Case(layer, X[2], module, "module['pointwise'](module['depthwise'](x[0]))", layout="channels")


def squeeze_excitation(arguments: str, squeezed: int, inner: str = "relu", outer: str = "sigmoid") -> Case:
    """torchvision.ops.SqueezeExcitation, written out."""
    layer = eval(f"jseq.squeeze_excitation({arguments})", {"jseq": jseq, "jax": jax})
    module = f"nn.ModuleDict(dict(fc1=nn.Conv2d(4, {squeezed}, 1), fc2=nn.Conv2d({squeezed}, 4, 1)))"
    hidden = f"nn.functional.{inner}(module['fc1'](x[0].mean((2, 3), keepdim=True)))"
    return Case(layer, FOUR[2], module, f"x[0] * nn.functional.{outer}(module['fc2']({hidden}))", layout="channels")


CASES = [
    convolution(
        1,
        conv("conv", 1, "3, 4, 2, padding='same', padding_mode='reflect'"),
        with_pairs(1, "((2, 0),)", "(2, 0)"),
        with_pairs(1, "'same'", "(1, 2)", "3, 4, 4"),
    ),
    convolution(
        2,
        conv("conv", 2, "3, 4, (3, 2), stride=(2, 1), padding=(1, 2)"),
        with_pairs(2, "'same'", "(1, 2, 1, 1)", "3, 4, (2, 4), dilation=(2, 1)"),
        conv("conv", 2, "3, 4, (3, 2), padding='same', padding_mode='circular'"),
        conv("conv", 2, "3, 4, 1"),
        with_pairs(2, "((1, 0), (0, 2))", "(0, 2, 1, 0)"),
    ),
    convolution(
        3,
        conv("conv", 3, "3, 4, (2, 3, 1), stride=(1, 2, 2), padding=(1, 1, 0), dilation=(2, 1, 1)"),
        conv("conv", 3, "3, 4, (1, 2, 3), padding='same', padding_mode='replicate'"),
        with_pairs(3, "((1, 0), (0, 2), (1, 1))", "(1, 1, 0, 2, 1, 0)"),
    ),
    transposed(1, conv("conv_transpose", 1, "3, 4, 2, stride=4, dilation=2, output_padding=3")),
    transposed(2, conv("conv_transpose", 2, "3, 4, (3, 2), (2, 1), (1, 0), (1, 0), dilation=(1, 2)")),
    transposed(3, conv("conv_transpose", 3, "3, 4, (1, 2, 3), (2, 1, 2), (0, 1, 0), (1, 0, 1)")),
    replace(
        separable("3, 4, 3", "3, 3, 3, groups=3", "3, 4, 1"),
        variants=(
            separable("3, 4, 3, 2, 1", "3, 3, 3, 2, 1, groups=3", "3, 4, 1"),
            separable("3, 4, (5, 3), padding='same'", "3, 3, (5, 3), padding='same', groups=3", "3, 4, 1"),
            separable(
                "3, 4, 2, dilation=2, bias=False", "3, 3, 2, dilation=2, groups=3, bias=False", "3, 4, 1, bias=False"
            ),
            separable("3, 4, 3, depth_multiplier=2", "3, 6, 3, groups=3", "6, 4, 1"),
            separable("None, 4, 3, depth_multiplier=2", "3, 6, 3, groups=3", "6, 4, 1"),
        ),
    ),
    replace(
        squeeze_excitation("4, 2", 2),
        variants=(
            squeeze_excitation("4", 1),
            squeeze_excitation("None, 2", 2),
            squeeze_excitation("4, 2, jax.nn.silu, jax.nn.tanh", 2, "silu", "tanh"),
        ),
    ),
]
