"""Options and inputs that no convolution can have are refused by the layer's name."""

import re

import jax
import jax.numpy as jnp
import pytest

import jseq

TABLE = [
    ("conv1d(0, 4, 3)", "in_channels must be a whole number of at least 1, got 0"),
    ("conv1d(3, 4.0, 3)", "out_channels must be a whole number of at least 1, got 4.0"),
    ("conv2d(3, 4, 0)", "kernel_size must be at least 1, got 0"),
    ("conv2d(3, 4, (3, 3, 3))", "kernel_size must be one integer or 2 of them, got (3, 3, 3)"),
    ("conv3d(3, 4, 1.5)", "kernel_size must be an integer or a tuple of integers, got 1.5"),
    ("conv2d(3, 4, 3, stride=0)", "stride must be at least 1, got 0"),
    ("conv2d(3, 4, 3, stride=(1, 2, 3))", "stride must be one integer or 2 of them"),
    ("conv2d(3, 4, 3, padding=-1)", "padding must be at least 0, got -1"),
    ("conv2d(3, 4, 3, padding='full')", 'padding must be "same", "valid", integers or pairs, got \'full\''),
    ("conv2d(3, 4, 3, padding=((1, 1),))", "padding must have one (low, high) pair for each of 2 axes"),
    ("conv2d(3, 4, 3, 2, 'same')", 'padding="same" needs stride 1, got stride (2, 2)'),
    ("conv3d(3, 4, 2, (1, 2, 1), 'same')", 'padding="same" needs stride 1, got stride (1, 2, 1)'),
    ("conv2d(3, 4, 3, dilation=0)", "dilation must be at least 1, got 0"),
    ("conv1d(3, 4, 3, groups=0)", "groups must be a whole number of at least 1, got 0"),
    ("conv2d(4, 6, 3, groups=4)", "groups must divide both numbers of channels, got groups=4 for 4 and 6"),
    ("conv2d(3, 4, 3, groups=2)", "groups must divide both numbers of channels, got groups=2 for 3 and 4"),
    ("conv2d(None, 4, 3, groups=3)", "groups must divide both numbers of channels"),
    ("conv1d(3, 4, 3, padding_mode='zero')", "padding_mode must be"),
    ("conv_transpose1d(-3, 4, 3)", "in_channels must be a whole number of at least 1, got -3"),
    ("conv_transpose2d(3, 4, (3,))", "kernel_size must be one integer or 2 of them, got (3,)"),
    ("conv_transpose2d(3, 4, 3, 0)", "stride must be at least 1, got 0"),
    ("conv_transpose2d(3, 4, 3, padding='same')", "padding must be an integer or a tuple of integers, got 'same'"),
    ("conv_transpose2d(3, 4, 3, padding=-1)", "padding must be at least 0, got -1"),
    ("conv_transpose2d(3, 4, 3, 2, 1, 2)", "output_padding must be smaller than stride or dilation, got (2, 2)"),
    ("conv_transpose3d(3, 4, 3, output_padding=-1)", "output_padding must be at least 0, got -1"),
    ("conv_transpose1d(4, 6, 3, groups=4)", "groups must divide both numbers of channels"),
    ("conv_transpose3d(3, 4, 3, dilation=(1, 1))", "dilation must be one integer or 3 of them"),
    ("conv_transpose2d(3, 4, 3, padding_mode='reflect')", "padding_mode must be"),
    ("separable_conv2d(3, 0, 3)", "out_channels must be a whole number of at least 1, got 0"),
    ("separable_conv2d(3, 4, 3, depth_multiplier=0)", "depth_multiplier must be a whole number of at least 1, got 0"),
    ("separable_conv2d(3, 4, 3, 2, 'same')", 'padding="same" needs stride 1'),
    ("separable_conv2d(3, 4, (3, 3, 3))", "kernel_size must be one integer or 2 of them"),
    ("separable_conv2d(3, 4, 3, dilation=0)", "dilation must be at least 1"),
    ("squeeze_excitation(0)", "channels must be a whole number of at least 1, got 0"),
    ("squeeze_excitation(8, 0)", "reduction must be a whole number of at least 1, got 0"),
    ("squeeze_excitation(8, 2, 'relu')", "activation must be a function of one array, such as jax.nn.relu, got 'relu'"),
    ("squeeze_excitation(8, 2, jseq.relu())", "activation must be a function of one array"),
    ("squeeze_excitation(8, 2, scale_activation=jseq.sigmoid)", "scale_activation must be a function of one array"),
]


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.OptionError, match=re.escape(text)) as caught:
        eval(f"jseq.{call}", {"jseq": jseq})
    assert str(caught.value).startswith(call.partition("(")[0])


WRONG_INPUTS = [
    ("conv1d(3, 4, 3)", (5,), "expected x of shape (..., T, 3), got float32[5]"),
    ("conv2d(1, 4, 3)", (8, 28, 28), "expected x of shape (..., H, W, 1), got float32[8,28,28]. Add the channel axis"),
    ("conv2d(3, 4, 3)", (8, 3, 9, 9), "The channels seem to come first: jnp.moveaxis(x, -3, -1)"),
    ("conv3d(3, 4, 3)", (2, 9, 9, 3), "expected x at least as large as the window (3, 3, 3)"),
    ("conv2d(3, 4, 3, dilation=4)", (8, 8, 3), "expected x at least as large as the window (9, 9), got float32[8,8,3]"),
    ("conv2d(3, 4, 3, padding=9, padding_mode='reflect')", (8, 8, 3), "reflect"),
    ("conv_transpose2d(3, 4, 3)", (8, 8, 4), "expected x of shape (..., H, W, 3), got float32[8,8,4]"),
    ("conv_transpose1d(3, 4, 1, padding=2)", (3, 3), "expected x large enough for the padding"),
    ("separable_conv2d(3, 4, 3)", (8, 8, 4), "expected x of shape (..., H, W, 3), got float32[8,8,4]"),
    ("squeeze_excitation(4, 2)", (8, 8, 3), "expected x of shape (..., H, W, 4), got float32[8,8,3]"),
    ("squeeze_excitation(4, 2)", (8, 4), "expected x of shape (..., H, W, 4), got float32[8,4]"),
]


@pytest.mark.parametrize(("call", "shape", "text"), WRONG_INPUTS, ids=[f"{row[0]} {row[1]}" for row in WRONG_INPUTS])
def test_this_input_is_refused_at_init_and_at_apply(call: str, shape: tuple[int, ...], text: str) -> None:
    layer = eval(f"jseq.{call}", {"jseq": jseq})
    key, x = jax.random.key(0), jnp.ones(shape)
    params = layer.init(key)
    for attempt in (lambda: layer.apply(params, x), lambda: layer.init(key, x)):
        with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
            attempt()
        assert str(caught.value).startswith(call.partition("(")[0])


def test_integers_are_refused() -> None:
    layer = jseq.conv2d(1, 2, 3)
    with pytest.raises(jseq.errors.DtypeError, match="expected x of a floating dtype"):
        layer.apply(layer.init(jax.random.key(0)), jnp.ones((4, 4, 1), jnp.int32))


def test_groups_that_do_not_divide_the_inferred_channels_are_refused_at_init() -> None:
    for layer in (jseq.conv2d(None, 6, 3, groups=3), jseq.conv_transpose2d(None, 6, 3, groups=3)):
        with pytest.raises(jseq.errors.OptionError, match="groups=3 for 4 and 6"):
            layer.init(jax.random.key(0), jnp.ones((8, 8, 4)))
