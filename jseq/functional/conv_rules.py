"""Which form of a convolution of one group is fast on CPU, by its shape, the version of jax, and the cores."""

import math
import os
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from jseq.functional.apart import MERGES
from jseq.functional.conv_lax import Options, output_sizes, spans_of
from jseq.functional.sharded import on_mesh
from jseq.functional.winograd import tiles_of

# Whether XLA:CPU's convolutions from an odd number of channels to 17 to 32 are the slow ones.
SLOW_IF_ODD = jax.__version_info__ < (0, 12)
# Whether XLA:CPU is slow from up to 16 channels to as many, and not from up to 6.
SLOW_FROM_MANY = jax.__version_info__ < (0, 11)
# Whether XLA:CPU is slow at the weight gradient of windows that do not overlap.
SLOW_APART = jax.__version_info__ < (0, 12)
# A container's quota of time is not seen: there the forms for many cores cost up to a third more than those for one.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# Whether XLA:CPU runs most convolutions in one thread, though it has more, as jax 0.10's does.
IN_ONE_THREAD = jax.__version_info__ < (0, 11) and CORES > 1

# Elements that a form writes beside the output: to write more than 16 MB costs what it saves.
MOST_COLUMNS = 2**22
# Multiplications from which on a convolution is cut: below, it takes less than 0.1 ms, and pieces longer to compile.
LEAST = 2**16

# "wide": spread, so that XLA gives it to Eigen in place of YNNPACK; "tiles": Winograd's; "padded": x is padded before,
# "whole": with all padding that there can be, and cut; "blocks", "shifts": see conv_products.py; "filled", also for the
# transpose by x ("filled back"), and "columns": see conv_few.py.
FormName = Literal[
    "plain", "wide", "tiles", "padded", "padded wide", "whole", "blocks", "shifts", "filled", "filled back", "columns"
]


class Forms(NamedTuple):
    """The forms that the terms of a convolution over two axes take on CPU."""

    output: FormName = "plain"
    input_gradient: FormName = "plain"
    weight_gradient: FormName = "plain"


def has_forms(x: jax.Array) -> bool:
    """Whether there are forms by size beside XLA's own: for float32 alone, for no symbolic batch (jax.export)."""
    return x.dtype == jnp.float32 and all(isinstance(size, int) for size in x.shape)


def is_large(x: jax.Array, weight: jax.Array) -> bool:
    """Whether another form than XLA's own is worth its compilation; what is on a mesh keeps XLA's own."""
    large = has_forms(x) and math.prod(x.shape[:-1]) * weight.size >= LEAST
    return large and not on_mesh(x, weight)


def forms_of(x: jax.Array, weight: jax.Array, options: Options) -> Forms:
    """Finds the forms that are fast."""
    if x.dtype != jnp.float32 or x.ndim > 4:
        return Forms()
    output: FormName = "filled" if _is_filled(x, weight, options) else "plain"
    if not has_forms(x):
        return Forms(output)
    if x.ndim == 4 and _in_tiles(x, weight, options):
        return Forms("tiles", "tiles", "tiles")
    forms = _wide(x, weight, options) if x.ndim == 4 else Forms()
    if forms.output == "plain":
        forms = forms._replace(output=output)
    if _is_beyond(weight, options) and not on_mesh(x, weight):
        forms = forms._replace(input_gradient=_all_places(options))
    if not is_large(x, weight):
        return forms
    if x.ndim == 4 and _has_tiled_gradient(forms, x, weight, options):
        forms = forms._replace(weight_gradient="tiles")
    forms = _as_products(_unexchanged(forms, x, weight, options), x, weight, options)
    return _back_to_few(forms, x, weight, options)


def _few() -> int:
    """Up to how many channels that come in XLA:CPU is slow where at most 16 go out.

    Jax 0.10 runs what is quick in one thread: in two, 3 channels took 0.8 to 1.2 of the time, 2 0.4 to 0.65. More
    threads were not there to be measured. From 8 to 16 channels jax 0.11 and 0.12 take 0.7 to 1.6 with zeros.
    """
    if IN_ONE_THREAD:
        return 2 if CORES == 2 else 0
    return 16 if SLOW_FROM_MANY else 6


def _is_short(weight: jax.Array, come: int, go: int) -> bool:
    """Finds whether XLA:CPU is slow from so many channels to so many, and quick with more of zeros.

    To 5 to 16 channels it goes to Eigen, with more of them and over two axes to YNNPACK. With zeros for them, the
    output takes 0.15 to 0.89 of the time over two axes, 0.18 to 0.98 over one, as a row of two (53 and 63 shapes, jax
    0.10 and 0.12; in two threads up to 0.95), the gradient of the input as much. But 1.16 with 5x5 of 6 channels.

    For odd numbers to 17 to 32 channels, with jax 0.10 and 0.11, the output takes 0.1 to 0.81 with another that makes
    them even (13 sizes from 3, 9 and 31 channels); jax 0.12 would take 1.1 to 1.42, up to 11 channels.
    """
    if weight.ndim == 4 and go > 16:
        return _is_odd(come, go)
    return go > 4 and come <= _few() and (come <= 4 or math.prod(weight.shape[:-2]) <= 9)


def _is_odd(inside: int, outside: int) -> bool:
    return SLOW_IF_ODD and inside % 2 == 1 and inside > 1 and 16 < outside <= 32


def filled(weight: jax.Array, back: bool) -> tuple[int, int]:
    """How many channels come in and go out with those of zeros, `back` if it is for the transpose by x."""
    inside, outside = weight.shape[-2:]
    come, go = (outside, inside) if back else (inside, outside)
    if _is_short(weight, come, go):
        go = max(go, 20)
        come += -come % 4 * _is_odd(come, go)
    else:
        go += -go % 4
    return (go, come) if back else (come, go)


def is_layered(weight: jax.Array, options: Options) -> bool:
    """Finds whether all taps of the first of three axes give channels enough, together.

    The output takes 0.09 to 0.74 of the time (25 shapes, jax 0.10 and 0.12), in two threads up to 1.2 from 16 channels,
    from 24 and 32 channels 0.7 to 0.97. The gradient of the weight would take up to 1.8.
    """
    taps, *_, inside, outside = weight.shape
    most = 16 if CORES == 1 else 12 if _few() else 0
    return set(options[0]) == {1} and inside <= most and 4 < outside <= 16 < taps * outside


def has_layered_gradient(x: jax.Array, weight: jax.Array) -> bool:
    """Finds whether the gradient of x is quicker by layers: in 0.12 to 0.81 of the time, of large images up to 2.4."""
    return math.prod(x.shape[:-1]) * weight.shape[0] * weight.shape[-1] <= MOST_COLUMNS


def _is_filled(x: jax.Array, weight: jax.Array, options: Options) -> bool:
    """Finds whether zeros for channels make the output quicker, which long strides of few do not: up to 1.28."""
    inside, outside = weight.shape[-2:]
    if on_mesh(x, weight) or not _is_short(weight, inside, outside):
        return False
    if x.ndim == 4 and outside > 16:
        return True
    places = math.prod(output_sizes(x.shape[1:-1], weight.shape, options))
    small = not has_forms(x) or len(x) * places * max(outside, 20) <= MOST_COLUMNS
    return small and (max(options[0]) <= 2 or inside == 1)


def _back_to_few(forms: Forms, x: jax.Array, weight: jax.Array, options: Options) -> Forms:
    """Finds how few channels get their gradient: as the parts of one product, if there are not many columns.

    Where at most 16 channels go out, in 0.13 to 0.97 of the time; where more do, up to four in 0.13 to 1.05, in two
    threads up to 1.06 (96 shapes, jax 0.10 and 0.12). With 5x5 of 8 channels 0.47 to 1.9, of 3 to more 0.86 to 1.16.
    Merged into the gradient of max pooling, as by jax 0.10, the sum of 25 parts of 6 channels took 7 ms in place of 1.
    """
    *window, inside, outside = weight.shape
    if set(options[0]) != {1} or forms.input_gradient != "plain":
        return forms
    columns, (most, widest) = math.prod(window) * inside, (4, 49) if MERGES or outside > 16 else (8, 150)
    if inside <= most and columns <= widest and math.prod(x.shape[:-1]) * columns <= MOST_COLUMNS:
        return forms._replace(input_gradient="columns")
    short = _is_short(weight, outside, inside) or (x.ndim == 4 and _is_odd(inside, outside))
    return forms._replace(input_gradient="filled back") if short else forms


def _all_places(options: Options) -> FormName:
    """The form whose transpose by x pads before: from each place on, or with a stride in blocks as large as that."""
    return "whole" if set(options[0]) == {1} else "blocks"


def _is_beyond(weight: jax.Array, options: Options) -> bool:
    """Whether some padding is wider than a window reaches, so that the gradient of x has less than none.

    Small ones of those the XLA:CPU of jax 0.10 computes wrongly, as it reads beyond the gradient; 0.12 is right.
    """
    _, padding, dilation = options
    return any(max(pair) > span for pair, span in zip(padding, spans_of(weight.shape, dilation), strict=True))


def _unexchanged(forms: Forms, x: jax.Array, weight: jax.Array, options: Options) -> Forms:
    """Pads beforehand where what goes over an image, a window or a gradient, is larger than it.

    XLA:CPU exchanges the two there, and has no quick routine for what comes out: 2 to 8 GFLOP/s in place of 50 to 100.
    """
    outputs = output_sizes(x.shape[1:-1], weight.shape, options)
    image, window, output = (math.prod(sizes) for sizes in (x.shape[1:-1], weight.shape[:-2], outputs))
    if window > image > 1:
        forms = forms._replace(output="padded")
    if window > output and image > 1:
        forms = forms._replace(input_gradient=_all_places(options))
    if output > image:
        forms = forms._replace(weight_gradient="padded wide" if x.ndim == 4 and len(x) >= 16 else "padded")
    return forms


def _as_products(forms: Forms, x: jax.Array, weight: jax.Array, options: Options) -> Forms:
    """Finds the terms that are quicker as products: of windows that do not overlap, and of few channels that go out.

    Of the former, where few channels come in, the gradient of the weight takes 0.25 to 0.89 of the time (ten shapes,
    another 1.06); of more channels or columns, and of small images, 0.77 to 1.4, and with jax 0.12 0.65 to 1.9. Of the
    latter, with jax 0.10 and 0.12, the gradient of the weight takes 0.02 to 0.76 from 32 channels (30 shapes), 0.08 to
    1.1 of small batches from 16, up to 7 where fewer come in; the output 0.06 to 0.91, but 0.6 to 1.08 from 32
    channels, and 0.9 to 2.1 with more taps.
    Where MOST_COLUMNS is passed, both took 0.24 to 2.1 (twelve shapes).
    """
    stride, _, dilation = options
    *window, inside, outside = weight.shape
    taps = math.prod(window)
    if all(span < s for span, s in zip(spans_of(window, dilation), stride, strict=True)):
        few = SLOW_APART and inside <= 4 and taps * inside <= (256 if x.size >= 2**20 else 128)
        return forms._replace(weight_gradient="blocks") if few else forms
    if set(stride) != {1} or outside > 4 or taps > 49 or math.prod(x.shape[:-1]) * taps * outside > MOST_COLUMNS:
        return forms
    if inside >= (16 if len(x) < 16 else 32):
        forms = forms._replace(weight_gradient="shifts")
    return forms._replace(output="shifts") if taps <= 25 and taps * outside <= 54 else forms


def _in_tiles(x: jax.Array, weight: jax.Array, options: Options) -> bool:
    """Finds whether a convolution over two axes takes fewer products on CPU: windows of 3x3 in tiles of 2x2.

    In one thread: 0.49 to 0.82 of the time, 0.50 to 0.87 with gradients (twelve shapes, jax 0.10 and 0.12); level with
    fewer channels or tiles, up to 1.5 times as long for one large image. With several cores each step of the loop over
    parts waits for all: 0.44 to 1.07 and 0.43 to 0.94 in two threads from 128 to 256 channels on (five shapes, jax 0.10
    and 0.12, three runs each), 0.4 to 1.8 below.
    """
    if not _can_be_tiles(weight, options) or on_mesh(x, weight):
        return False
    in_channels, out_channels = weight.shape[2:]
    tiles = tiles_of(x.shape, options[1])
    pairs, least = (4096, 32) if CORES == 1 else (32768, 256)
    many = min(in_channels, out_channels) >= 32 and in_channels * out_channels >= pairs
    return many and tiles <= 2048 and len(x) * tiles >= least


def _can_be_tiles(weight: jax.Array, options: Options) -> bool:
    stride, _, dilation = options
    return weight.shape[:2] == (3, 3) and stride == dilation == (1, 1)


def _has_tiled_gradient(forms: Forms, x: jax.Array, weight: jax.Array, options: Options) -> bool:
    """Finds whether the gradient of the weight takes fewer products even if the others do not.

    With jax 0.12: 0.50 to 0.84 of the time in one thread, 0.35 to 0.97 in two (12 and 36 shapes; of 160x160, beyond
    these, 0.99 to 1.06). Before it with several cores only: 0.58 to 0.96 in two threads (15 shapes; of fewer channels
    up to 1.4).
    """
    if not _can_be_tiles(weight, options) or (forms.weight_gradient == "wide" and (MERGES or CORES == 1)):
        return False
    in_channels, out_channels = weight.shape[2:]
    tiles = tiles_of(x.shape, options[1])
    fewest, pairs, least, most = (64, 4096, 64, 2048) if MERGES else (16, 2048, 1, 4096)
    many = min(in_channels, out_channels) >= fewest and in_channels * out_channels >= pairs
    return many and tiles <= most and len(x) * tiles >= least


def _wide(x: jax.Array, weight: jax.Array, options: Options) -> Forms:
    """Finds which terms of a convolution over two axes Eigen is faster at.

    The weight gradient, in one thread: 0.32 to 0.79 of the time, 0.73 to 0.98 of forward and gradients together (seven
    shapes; on another machine 0.2 to 1.24, 16 shapes, one and two threads, jax 0.10 and 0.12). But 1.1 to 7 times as
    long for batches below 16, for 8 output channels, for one and three axes; 0.8 to 2.04 where the numbers of channels
    have a product below 2048, but for one to three that come in; no gain with a stride.

    The others, where YNNPACK leaves cores idle: the output 0.46 to 1.09 of the time in two threads, the gradient of the
    input 0.51 to 1.07 (22 shapes from 32 channels on); with fewer, or a stride, up to 13 times as long.
    """
    stride, _, dilation = options
    in_channels, out_channels = weight.shape[-2:]
    idle = IN_ONE_THREAD and min(in_channels, out_channels) >= 32 and math.prod(x.shape[:-1]) >= 512
    many = x.shape[0] >= 32 and out_channels >= 16 and (in_channels < 4 or in_channels * out_channels >= 2048)
    many = many and not _is_quick(x, weight, options)
    wide = (idle, idle and stride == (1, 1), many and stride == dilation == (1, 1))
    forms: list[FormName] = ["wide" if spread else "plain" for spread in wide]
    return Forms(*forms)


def _is_quick(x: jax.Array, weight: jax.Array, options: Options) -> bool:
    """Finds weight gradients of large batches that YNNPACK is quick at: of 5x5 and more, which fit a cache.

    There Eigen takes 1.05 to 1.4 of the time; of batches of 64 or more than 20 MB, and without padding, 0.32 to 1.04
    (14 shapes, jax 0.10 and 0.12).
    """
    *window, inside, outside = weight.shape
    if math.prod(window) <= 9 or inside < 4 or len(x) >= 64 or not any(map(any, options[1])):
        return False
    places = math.prod(output_sizes(x.shape[1:-1], weight.shape, options))
    return x.size + len(x) * places * outside < 5 * 2**20
