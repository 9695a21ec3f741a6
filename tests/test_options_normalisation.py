"""Options and inputs that no normalisation can have are refused by the layer's name."""

import re

import jax
import jax.numpy as jnp
import pytest

import jseq

SHAPES = [(call, text) for name in ("layer_norm", "rms_norm") for call, text in (
    (f"{name}(0)", "normalized_shape must be a whole number of at least 1, got 0"),
    (f"{name}(())", "normalized_shape must have at least one size, got ()"),
    (f"{name}((4, -1))", "normalized_shape must be a whole number of at least 1, got -1"),
    (f"{name}((4, None))", "normalized_shape must be a whole number of at least 1, got None"),
    (f"{name}(2.0)", "normalized_shape must be a whole number of at least 1, got 2.0"),
)]  # fmt: skip
INSTANCES = [(f"instance_norm{n}d({arguments})", text) for n in (1, 2, 3) for arguments, text in (
    ("0", "num_features must be a whole number of at least 1, got 0"),
    ("4, momentum=None", "momentum must be a number, got None. torch reads None as 0"),
    ("4, affin=True", "Did you mean 'affine'?"),
)]  # fmt: skip
TABLE = [
    ("batch_norm(0)", "num_features must be a whole number of at least 1, got 0"),
    ("batch_norm(1.5)", "num_features must be a whole number of at least 1, got 1.5"),
    *SHAPES,
    ("group_norm(4, 6)", "expected num_groups to divide 6 channels, got 4"),
    ("group_norm(8, 4)", "expected num_groups to divide 4 channels, got 8"),
    ("group_norm(0, 6)", "num_groups must be a whole number of at least 1, got 0"),
    ("group_norm(None, 6)", "num_groups must be a whole number of at least 1, got None"),
    ("group_norm(2, 0)", "num_channels must be a whole number of at least 1, got 0"),
    ("group_norm(2, 6, spatial_dims=-1)", "spatial_dims must be a whole number of at least 0, got -1"),
    ("group_norm(2, 6, spatial_dims=None)", "spatial_dims must be a whole number of at least 0, got None"),
    ("group_norm(2)", "missing a required argument: 'num_channels'"),
    *INSTANCES,
    ("local_response_norm(0)", "expected size, the number of channels of the window, at least 1, got 0"),
    ("local_response_norm(2.5)", "at least 1, got 2.5"),
    ("cross_map_lrn2d(-1)", "at least 1, got -1"),
]


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        eval(f"jseq.{call}", {"jseq": jseq})
    assert str(caught.value).startswith(call.partition("(")[0])


WRONG_INPUTS = [
    ("layer_norm((4, 3))", jnp.ones((5, 3)), "expected x of shape (..., 4, 3), got float32[5,3]"),
    ("layer_norm(3, elementwise_affine=False)", jnp.ones((5, 4)), "expected x of shape (..., 3), got float32[5,4]"),
    ("layer_norm(3)", jnp.ones((5, 3), int), "expected x of a floating dtype, got int32[5,3]"),
    ("rms_norm((4, 3))", jnp.ones(3), "expected x of shape (..., 4, 3), got float32[3]"),
    ("rms_norm(3)", jnp.ones((5, 4)), "expected x of shape (..., 3), got float32[5,4]"),
    ("group_norm(2, 4)", jnp.ones((5, 4)), "expected x of shape (..., H, W, C), got float32[5,4]"),
    ("group_norm(2, 4)", jnp.ones((5, 4, 4, 6)), "expected x of shape (..., 4), got float32[5,4,4,6]"),
    ("group_norm(2, 4, affine=False)", jnp.ones((4, 4, 6)), "expected x of shape (..., 4), got float32[4,4,6]"),
    ("instance_norm1d(4)", jnp.ones(4), "expected x of shape (..., T, C), got float32[4]"),
    ("instance_norm2d(4)", jnp.ones((5, 5, 3)), "expected x of shape (..., 4), got float32[5,5,3]"),
    ("instance_norm2d(4, affine=True)", jnp.ones((2, 1, 1, 4)), "more than 1 spatial element"),
    ("instance_norm3d(4)", jnp.ones((5, 5, 4)), "expected x of shape (..., D, H, W, C), got float32[5,5,4]"),
    ("local_response_norm(2)", jnp.ones(()), "expected x of shape (..., C), got float32[]"),
    ("cross_map_lrn2d(2)", jnp.ones((4, 4)), "expected x of shape (..., H, W, C), got float32[4,4]"),
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


def test_groups_that_do_not_divide_inferred_channels_are_refused_at_init() -> None:
    layer = jseq.group_norm(4, None)
    with pytest.raises(jseq.errors.OptionError, match=r"group_norm.*to divide 6 channels, got 4"):
        layer.init(jax.random.key(0), jnp.ones((2, 3, 3, 6)))
    with pytest.raises(jseq.errors.ShapeError, match=r"num_channels is None, so it is inferred from x"):
        layer.init(jax.random.key(0))
