"""The forms of a convolution of one group: which one XLA compiles to something fast depends on shapes and platform."""

from functools import lru_cache, partial

import jax
from jax import lax

from jseq.functional.conv_few import conv_filled, conv_of_columns, filled_unless_mapped
from jseq.functional.conv_lax import Options, cut_conv, lax_conv, padded_conv, spread_conv
from jseq.functional.conv_products import conv_by_shifts, conv_in_blocks, conv_of_points, conv_of_whole_images
from jseq.functional.conv_rules import FormName, Forms, forms_of, is_large
from jseq.functional.terms import Form, Terms, in_terms
from jseq.functional.tiled import conv_tiled


def convolve_dense(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves x (batch, *spatial, channels), all of its channels, in the form that is fast for its shape."""
    product = _product(x, weight, options)
    if product is not None:
        return lax.platform_dependent(x, weight, cpu=product, default=partial(lax_conv, options=options))
    forms = forms_of(x, weight, options)
    if forms == Forms():
        return lax_conv(x, weight, options)
    return in_terms(x, weight, Terms(*(_in_form(form, options) for form in forms)))


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


def input_term(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves in the form whose transpose by x is fast, for the derivatives of others."""
    return _in_form(forms_of(x, weight, options).input_gradient, options)(x, weight)


def weight_term(x: jax.Array, weight: jax.Array, options: Options) -> jax.Array:
    """Convolves in the form whose transpose by the weight is fast, for the derivatives of others."""
    return _in_form(forms_of(x, weight, options).weight_gradient, options)(x, weight)


@lru_cache(1024)  # one function for each, so that calls without jax.jit compile once
def _in_form(form: FormName, options: Options) -> Form:
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


def _rewritten(form: FormName, options: Options) -> Form:
    if form == "filled":
        return filled_unless_mapped(options)
    if form == "filled back":
        return partial(conv_filled, options=options, back=True)
    if form == "columns":
        return partial(conv_of_columns, options=options)
    if form == "shifts":
        return partial(conv_by_shifts, options=options)
    if form == "blocks":
        return partial(conv_in_blocks, options=options, conv=input_term)
    return partial(padded_conv, options=options, conv=spread_conv if form == "padded wide" else lax_conv)
