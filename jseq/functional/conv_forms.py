"""The forms of a convolution of one group: which one XLA compiles to something fast depends on shapes and platform."""

import math
import os
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.functional.conv_lax import Options, cut_conv, lax_conv, output_sizes, padded_conv, spans_of, spread_conv
from jseq.functional.conv_products import conv_by_shifts, conv_in_blocks, conv_of_points, conv_of_whole_images
from jseq.functional.sharded import on_mesh
from jseq.functional.terms import Form, Terms, in_terms
from jseq.functional.tiled import conv_tiled
from jseq.functional.winograd import tiles_of

# Whether XLA:CPU's convolutions from an odd number of channels to 17 to 32 are the slow ones.
SLOW_IF_ODD = jax.__version_info__ < (0, 12)
# Whether XLA:CPU is slow at the weight gradient of windows that do not overlap.
SLOW_APART = jax.__version_info__ < (0, 12)
# A container's quota of time is not seen: there the forms for many cores cost up to a third more than those for one.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# Whether XLA:CPU runs most convolutions in one thread, though it has more, as jax 0.10's does.
IN_ONE_THREAD = jax.__version_info__ < (0, 11) and CORES > 1

# Elements that a product by all taps leaves to be shifted: to write more than 16 MB costs what it saves.
MOST_COLUMNS = 2**22
# Multiplications from which on a convolution is cut: below, it takes less than 0.1 ms, and pieces longer to compile.
LEAST = 2**16

# "wide": spread, so that XLA gives it to Eigen in place of YNNPACK; "tiles": Winograd's; "padded": x is padded before,
# "whole": with all padding that there can be, and cut; "blocks", "shifts": see conv_products.py.
_Form = Literal["plain", "wide", "tiles", "padded", "padded wide", "whole", "blocks", "shifts"]


class _Forms(NamedTuple):
    """The forms that the terms of a convolution over two axes take on CPU."""

    output: _Form = "plain"
    input_gradient: _Form = "plain"
    weight_gradient: _Form = "plain"


def has_forms(x: jax.Array) -> bool:
    """Whether there are forms beside XLA's own: for float32 alone, and for no symbolic batch (jax.export)."""
    return x.dtype == jnp.float32 and all(isinstance(size, int) for size in x.shape)


def is_large(x: jax.Array, weight: jax.Array) -> bool:
    """Whether another form than XLA's own is worth its compilation; what is on a mesh keeps XLA's own."""
    large = has_forms(x) and math.prod(x.shape[:-1]) * weight.size >= LEAST
    return large and not on_mesh(x, weight)


def convolve_dense(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves x (batch, *spatial, channels), all of its channels, in the form that is fast for its shape."""
    n = len(options[0])
    product = _product(x, weight, options)
    if product is not None:
        return lax.platform_dependent(x, weight, cpu=product, default=partial(lax_conv, options=options))
    whole = partial(_in_fours if n == 2 else lax_conv, options=options)
    forms = _forms(x, weight, options)
    if forms == _Forms():
        return whole(x, weight)
    output, by_input, by_weight = (_in_form(form, options) for form in forms)
    return in_terms(x, weight, Terms(whole if forms.output == "plain" else output, by_input, by_weight))


def _product(x: jax.Array, weight: jax.Array, options: Options) -> Form | None:
    """Finds the product of matrices that a convolution is, if it is one.

    By windows of one place: forward in 0.67 to 1.2 of the convolution's time, with gradients in 0.39 to 0.79 (ten
    shapes, one to three axes); with 3 channels the forward takes 3 times as long. By one as large as the image:
    forward in 0.3 to 1.1 of the time, the gradients in 0.07 to 0.3 (six shapes, one and two threads).
    """
    stride, padding, _ = options
    n = len(stride)
    if any(map(any, padding)) or weight.shape[-2] < 4:
        return None
    if weight.shape[:n] == (1,) * n:
        return partial(conv_of_points, stride=stride)
    return conv_of_whole_images if weight.shape[:n] == x.shape[1:-1] and is_large(x, weight) else None


def _input_term(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves in the form whose transpose by x is fast."""
    return _in_form(_forms(x, weight, options).input_gradient, options)(x, weight)


def weight_term(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves in the form whose transpose by the weight is fast, for the derivatives of others."""
    return _in_form(_forms(x, weight, options).weight_gradient, options)(x, weight)


def _forms(x: jax.Array, weight: jax.Array, options: Options) -> _Forms:
    """Finds the forms that are fast."""
    if not has_forms(x) or x.ndim > 4:
        return _Forms()
    if x.ndim == 4 and _in_tiles(x, weight, options):
        return _Forms("tiles", "tiles", "tiles")
    forms = _wide(x, weight, options) if x.ndim == 4 else _Forms()
    if _is_beyond(weight, options) and not on_mesh(x, weight):
        forms = forms._replace(input_gradient=_all_places(options))
    if not is_large(x, weight):
        return forms
    return _as_products(_unexchanged(forms, x, weight, options), x, weight, options)


def _all_places(options: Options) -> _Form:
    """The form whose transpose by x pads before: from each place on, or with a stride in blocks as large as that."""
    return "whole" if set(options[0]) == {1} else "blocks"


def _is_beyond(weight: jax.Array, options: Options) -> bool:
    """Whether some padding is wider than a window reaches, so that the gradient of x has less than none.

    Small ones of those the XLA:CPU of jax 0.10 computes wrongly, as it reads beyond the gradient; 0.12 is right.
    """
    _, padding, dilation = options
    return any(max(pair) > span for pair, span in zip(padding, spans_of(weight.shape, dilation), strict=True))


def _unexchanged(forms: _Forms, x: jax.Array, weight: jax.Array, options: Options) -> _Forms:
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


def _as_products(forms: _Forms, x: jax.Array, weight: jax.Array, options: Options) -> _Forms:
    """Finds the terms that are quicker as products: of windows that do not overlap, and of few channels that go out.

    Of the former, where few channels come in, the gradient of the weight takes 0.55 to 0.89 of the time (five shapes);
    of more channels or columns 0.77 to 1.4, and with jax 0.12 0.65 to 1.9. Of the latter, with jax 0.10 and 0.12, the
    gradient of the weight takes 0.02 to 0.76 from 32 channels (30 shapes), 0.08 to 1.1 of small batches from 16, up to
    7 where fewer come in; the output 0.06 to 0.91, but 0.6 to 1.08 from 32 channels, and 0.9 to 2.1 with more taps.
    Where MOST_COLUMNS is passed, both took 0.24 to 2.1 (twelve shapes).
    """
    stride, _, dilation = options
    *window, inside, outside = weight.shape
    taps = math.prod(window)
    if all(span < s for span, s in zip(spans_of(window, dilation), stride, strict=True)):
        few = SLOW_APART and inside <= 4 and taps * inside <= 256
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
    stride, padding, dilation = options
    in_channels, out_channels = weight.shape[2:]
    if not (weight.shape[:2] == (3, 3) and stride == dilation == (1, 1)) or on_mesh(x, weight):
        return False
    tiles = tiles_of(x.shape, padding)
    pairs, least = (4096, 32) if CORES == 1 else (32768, 256)
    many = min(in_channels, out_channels) >= 32 and in_channels * out_channels >= pairs
    return many and tiles <= 2048 and len(x) * tiles >= least


def _wide(x: jax.Array, weight: jax.Array, options: Options) -> _Forms:
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
    wide = (idle, idle and stride == (1, 1), many and stride == dilation == (1, 1))
    forms: list[_Form] = ["wide" if spread else "plain" for spread in wide]
    return _Forms(*forms)


def _in_fours(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves over two axes; with odd numbers of channels that XLA:CPU is slow at, pads them by zeros.

    In 0.1 to 0.81 of the time of jax 0.10 and 0.11 (13 sizes from 3, 9 and 31 channels, among them strides, dilations
    and a batch of one). Jax 0.12 would take 1.1 to 1.42 with the zeros, up to 11 channels.
    """
    in_channels, out_channels = weight.shape[-2:]
    if not (in_channels % 2 and in_channels > 1 and 16 < out_channels <= 32 and x.dtype == jnp.float32 and SLOW_IF_ODD):
        return lax_conv(x, weight, options)

    def widened(a: jax.Array, axis: int) -> jax.Array:
        return lax.pad(a, np.zeros((), a.dtype), [(0, -in_channels % 4 * (i == axis), 0) for i in range(4)])

    def padded(x: jax.Array, weight: jax.Array) -> jax.Array:
        return lax_conv(widened(x, 3), widened(weight, 2), options)

    return lax.platform_dependent(x, weight, cpu=padded, default=partial(lax_conv, options=options))


@lru_cache(1024)  # one function for each, so that calls without jax.jit compile once
def _in_form(form: _Form, options: Options) -> Form:
    """The form of an output, or of a term of the product rule, whose transpose is a gradient.

    The transpose of a plain convolution by the weight has the channels as batch, which XLA:CPU gives to YNNPACK; with
    the width of both operands and the stride doubled it goes to Eigen, which is faster there.
    """
    plain = partial(lax_conv, options=options)
    if form == "plain":
        return plain
    if form == "tiles":
        fast = partial(conv_tiled, padding=options[1])
    elif form == "wide":
        fast = partial(spread_conv, options=options)
    elif form == "whole":
        fast = partial(cut_conv, options=options)
    else:  # checkpointed, so that x is what a gradient keeps
        fast = jax.checkpoint(_rewritten(form, options))

    def chosen(x: jax.Array, weight: jax.Array) -> jax.Array:
        return lax.platform_dependent(x, weight, cpu=fast, default=plain)

    return chosen


def _rewritten(form: _Form, options: Options) -> Form:
    if form == "shifts":
        return partial(conv_by_shifts, options=options)
    if form == "blocks":
        return partial(conv_in_blocks, options=options, conv=_input_term)
    return partial(padded_conv, options=options, conv=spread_conv if form == "padded wide" else lax_conv)
