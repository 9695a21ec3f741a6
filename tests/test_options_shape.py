"""Options that no shape, padding, vision, linear or distance layer can have are refused by the layer's name."""

import re

import jax
import jax.numpy as jnp
import pytest

import jseq

TABLE = [
    ("unflatten(1, 6)", "unflattened_size must be a tuple of sizes"),
    ("unflatten(1, ())", "unflattened_size must be a tuple of sizes"),
    ("unflatten(1, (2, 0))", "one of which may be -1, got (2, 0)"),
    ("unflatten(1, (2, 1.5))", "got (2, 1.5)"),
    ("unflatten(1, (-1, -1))", "got (-1, -1)"),
    ("reshape(12)", "shape must be a tuple of sizes"),
    ("reshape((2, -3))", "got (2, -3)"),
    ("permute((0, 2))", "dims must be an order of -n, ..., -1 or of 0, ..., n - 1, got (0, 2)"),
    ("permute((-1, -1))", "got (-1, -1)"),
    ("permute((0, -1))", "got (0, -1)"),
    ("permute(())", "got ()"),
    ("permute((0, 'a'))", "got (0, 'a')"),
    ("pixel_shuffle(0)", "upscale_factor must be at least 1, got 0"),
    ("pixel_shuffle((2, 2))", "upscale_factor must be one integer, got (2, 2)"),
    ("pixel_unshuffle(1.5)", "downscale_factor must be an integer"),
    ("channel_shuffle(-1)", "groups must be at least 1, got -1"),
    ("unfold(0)", "kernel_size must be at least 1, got 0"),
    ("unfold((2, 2, 2))", "kernel_size must be one integer or 2 of them"),
    ("unfold(2, dilation=0)", "dilation must be at least 1"),
    ("unfold(2, padding=-1)", "padding must be at least 0"),
    ("unfold(2, stride=0)", "stride must be at least 1"),
    ("fold(0, 2)", "output_size must be at least 1"),
    ("fold(4, 'a')", "kernel_size must be an integer"),
    ("upsample()", "expected one of size and scale_factor"),
    ("upsample(3, 2.0)", "expected one of size and scale_factor"),
    ("upsample(3, mode='cubic')", "mode must be one of"),
    ("upsample(3, mode='bilinear', spatial_dims=3)", "for 3 spatial axes, got 'bilinear'"),
    ("upsample(3, align_corners=True)", "align_corners is only for the modes"),
    ("upsample(3, recompute_scale_factor=True)", "recompute_scale_factor needs scale_factor"),
    ("upsample((3, 3, 3))", "size must be one integer or 2 of them"),
    ("upsample((3, 3), mode='linear')", "size must be one integer or 1 of them"),
    ("upsample(0)", "size must be at least 1"),
    ("upsample(scale_factor=0)", "scale_factor must be a positive number, got 0"),
    ("upsample(scale_factor=(2, 2, 2))", "scale_factor must be one number or 2 of them"),
    ("upsample(3, spatial_dims=4)", "spatial_dims must be 1, 2 or 3, got 4"),
    ("upsampling_nearest2d()", "expected one of size and scale_factor"),
    ("upsampling_bilinear2d((1, 2, 3))", "size must be one integer or 2 of them"),
    ("bilinear(0, 2, 3)", "in1_features must be a whole number"),
    ("bilinear(2, 2.5, 3)", "in2_features must be a whole number"),
    ("bilinear(2, 2, None, 3, 4)", "too many positional arguments"),
    ("scale(0)", "features must be a whole number"),
    ("bias(-1)", "features must be a whole number"),
    *((f"{kind}_pad{n}d({sides})", f"padding must be one integer or {2 * n} of them")
      for n, sides in ((1, "(1, 2, 3)"), (2, "(1, 2)"), (3, "(1, 2, 3, 4)"))
      for kind in ("zero", "reflection", "replication", "circular")),
    *((f"constant_pad{n}d((1,), 0.0)", f"padding must be one integer or {2 * n} of them") for n in (1, 2, 3)),
    ("zero_pad2d(1.5)", "padding must be an integer"),
    ("constant_pad1d(1)", "missing a required argument: 'value'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        eval(f"jseq.{call}", {"jseq": jseq})
    assert str(caught.value).startswith(call.partition("(")[0])


WRONG_INPUTS = [
    ("unflatten(-1, (2, 4))", jnp.ones((3, 6)), "expected x with axes 1 to 1 that fill (2, 4), got float32[3,6]"),
    ("unflatten(-1, (4, -1))", jnp.ones((3, 6)), "that fill (4, -1), got float32[3,6]"),
    ("unflatten(2, (2, 3))", jnp.ones((3, 6)), "expected x with an axis 2, got float32[3,6]"),
    ("reshape((5,))", jnp.ones((3, 6)), "expected x with axes 1 to 1 that fill (5,), got float32[3,6]"),
    ("reshape((6,))", jnp.ones(6), "expected x with an axis 1, got float32[6]"),
    ("permute((-1, -3, -2))", jnp.ones((3, 6)), "expected x of at least 3 axes, got float32[3,6]"),
    ("permute((1, 0))", jnp.ones((2, 3, 6)), "expected x of 2 axes, got float32[2,3,6]"),
    ("scale(3)", jnp.ones((2, 4)), "expected x of shape (..., 3), got float32[2,4]"),
    ("bias(3)", jnp.ones((2, 3), jnp.int32), "expected x of a floating dtype, got int32[2,3]"),
    ("cosine_similarity()", jnp.ones((2, 3)), "expected x to be a tuple of two arrays, got float32[2,3]"),
    ("pairwise_distance()", (jnp.ones(3),), "expected x to be a tuple of two arrays, got (float32[3],)"),
    ("reflection_pad1d(5)", jnp.ones((2, 5, 3)), "reflect needs padding smaller than the axis"),
    ("upsample(3)", jnp.ones((4, 5)), "expected x of shape (..., H, W, C), got float32[4,5]"),
]


@pytest.mark.parametrize(
    ("call", "x", "text"), WRONG_INPUTS, ids=[f"{call} {text[:40]}" for call, _, text in WRONG_INPUTS]
)
def test_this_input_is_refused(call, x, text) -> None:
    layer = eval(f"jseq.{call}", {"jseq": jseq})
    params = layer.init(jax.random.key(0))
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        layer.apply(params, x)
    assert str(caught.value).startswith(call.partition("(")[0])


def test_bilinear_infers_both_sizes_from_a_tuple_and_says_so() -> None:
    layer = jseq.bilinear(None, None, 2)
    with pytest.raises(jseq.errors.ShapeError, match="in1_features is None, so it is inferred from x"):
        layer.init(jax.random.key(0))
    with pytest.raises(jseq.errors.DtypeError, match="a tuple of two arrays, got float32"):
        layer.init(jax.random.key(0), jnp.ones((2, 3)))
