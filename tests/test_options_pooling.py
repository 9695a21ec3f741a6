"""Options and inputs that no pooling can have are refused by the layer's name."""

import re

import jax
import jax.numpy as jnp
import pytest

import jseq

FIRST = {"max_pool": "", "avg_pool": "", "lp_pool": "2, ", "max_unpool": ""}
WINDOWED = [f"{name}{n}d({first}" for n in (1, 2, 3) for name, first in FIRST.items()]
POOLS = {"max": 2, "avg": 2, "lp": "2, 2", "adaptive_avg": 2, "adaptive_max": 2, "global_avg": "", "global_max": ""}
TABLE = [
    *((f"{start}0)", "kernel_size must be at least 1, got 0") for start in WINDOWED),
    *((f"{start}(1, 2, 3, 4))", "kernel_size must be one integer or") for start in WINDOWED),
    *((f"{start}2, stride=0)", "stride must be at least 1, got 0") for start in WINDOWED),
    *((f"{start}2, padding=2)", "padding must be at most half the window, got padding 2 for kernel_size 2")
      for start in WINDOWED if "lp" not in start),
    *((f"{start}2, padding=-1)", "padding must be at least 0, got -1") for start in WINDOWED if "lp" not in start),
    ("max_pool2d(2, dilation=0)", "dilation must be at least 1, got 0"),
    ("max_pool1d('2')", "kernel_size must be an integer or a tuple of integers, got '2'"),
    ("avg_pool2d(2, divisor_override=0)", "divisor_override must be a whole number other than 0, got 0"),
    ("avg_pool3d(2, divisor_override=1.5)", "divisor_override must be a whole number other than 0, got 1.5"),
    *((f"lp_pool{n}d(0, 2)", "norm_type must be a number other than 0, got 0") for n in (1, 2, 3)),
    ("lp_pool2d('2', 2)", "norm_type must be a number other than 0, got '2'"),
    *((f"adaptive_{kind}_pool{n}d(0)", "output_size must be at least 1, got")
      for n in (1, 2, 3) for kind in ("avg", "max")),
    ("adaptive_avg_pool2d((2, 2, 2))", "output_size must be one integer or 2 of them"),
    ("adaptive_max_pool3d((2, 2))", "output_size must be one integer or 3 of them"),
    ("adaptive_avg_pool1d(2.5)", "output_size must be an integer"),
    *((f"fractional_max_pool{n}d(2)", "expected one of output_size and output_ratio, got") for n in (2, 3)),
    ("fractional_max_pool2d(2, 3, 0.5)", "expected one of output_size and output_ratio, got output_size=3"),
    ("fractional_max_pool2d(2, output_ratio=1.5)", "output_ratio must be a number between 0 and 1, or 2, got 1.5"),
    ("fractional_max_pool3d(2, output_ratio=(0.5, 0.5))", "output_ratio must be a number between 0 and 1, or 3"),
    ("fractional_max_pool2d(0, 3)", "kernel_size must be at least 1, got 0"),
    ("fractional_max_pool3d(2, 0)", "output_size must be at least 1, got 0"),
    ("max_unpool2d(2, output_size=(4, 4, 4))", "output_size must be one integer or 2 of them"),
    ("max_unpool1d(2, output_size=0)", "output_size must be at least 1, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.OptionError, match=re.escape(text)) as caught:
        eval(f"jseq.{call}", {"jseq": jseq})
    assert str(caught.value).startswith(call.partition("(")[0])


PAIR = (jnp.ones((2, 2, 1)), jnp.zeros((2, 2, 1), jnp.int32))
WRONG_INPUTS = [
    ("max_pool2d(2)", jnp.ones((4, 4)), "expected x of shape (..., H, W, C), got float32[4,4]"),
    ("max_pool1d(3)", jnp.ones((2, 1)), "that holds a window of (3,) with padding (0,), got float32[2,1]"),
    ("avg_pool3d(2)", jnp.ones((4, 4, 1)), "expected x of shape (..., D, H, W, C), got float32[4,4,1]"),
    ("lp_pool2d(2, 3)", jnp.ones((4, 2, 1)), "that holds a window of (3, 3)"),
    ("adaptive_avg_pool2d(2)", jnp.ones((0, 4, 1)), "with elements on each axis, got float32[0,4,1]"),
    ("global_avg_pool2d()", jnp.ones((4, 4)), "expected x of shape (..., H, W, C), got float32[4,4]"),
    ("global_max_pool1d()", jnp.ones((0, 4)), "with elements on each axis, got float32[0,4]"),
    ("max_unpool2d(2)", jnp.ones((2, 2, 1)), "expected x to be a tuple of two arrays, got float32[2,2,1]"),
    ("max_unpool2d(2)", (PAIR[0], PAIR[1][:1]), "expected indices of the shape of x, got int32[1,2,1]"),
    ("max_unpool2d(2)", (PAIR[0], PAIR[0]), "expected integer indices, got float32[2,2,1]"),
    ("max_unpool2d(2, output_size=6)", PAIR, "output_size must be less than a stride of (2, 2) away from (4, 4)"),
    *((f"{name}_pool{n}d({arguments})", jnp.ones((4,) * n + (2,), jnp.int32), "expected x of a floating dtype, got int")
      for n in (1, 2, 3) for name, arguments in POOLS.items()),
]  # fmt: skip


@pytest.mark.parametrize(("call", "x", "text"), WRONG_INPUTS, ids=[f"{row[0]} {row[2][:40]}" for row in WRONG_INPUTS])
def test_this_input_is_refused(call: str, x: object, text: str) -> None:
    layer = eval(f"jseq.{call}", {"jseq": jseq})
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        layer.apply((), x)
    assert str(caught.value).startswith(call.partition("(")[0])


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_pooling_needs_a_key_or_samples_in_evaluation_too(n: int) -> None:
    layer = getattr(jseq, f"fractional_max_pool{n}d")(2, output_size=3)
    x = jnp.arange(2.0 * 6**n * 2).reshape(2, *(6,) * n, 2)
    with pytest.raises(jseq.errors.CallError, match=r"got None\..* apply\(params, x, key=key\), in evaluation too"):
        layer.apply((), x)
    samples = jax.random.uniform(jax.random.key(0), (2, 2, n))
    drawn = layer.apply((), x, key=jax.random.key(0))
    assert jnp.array_equal(layer.apply((), x, context={"samples": samples}), drawn)
    assert jnp.array_equal(layer.apply((), x, key=jax.random.key(1), context={"samples": samples}), drawn)
    with pytest.raises(jseq.errors.ShapeError, match=rf"expected samples of shape \(2, 2, {n}\)"):
        layer.apply((), x, context={"samples": samples[:1]})
    with pytest.raises(jseq.errors.ShapeError, match=r"at least output_size \+ kernel_size - 1 elements"):
        layer.apply((), x[..., :3, :], key=jax.random.key(0))


def test_fractional_pooling_in_a_chain_takes_its_key_from_there() -> None:
    model = jseq.sequential(jseq.relu(), jseq.fractional_max_pool2d(2, output_ratio=0.5), jseq.global_avg_pool2d())
    assert model.apply(model.init(jax.random.key(0)), jnp.ones((8, 8, 3)), key=jax.random.key(1)).shape == (3,)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpooling_undoes_pooling_where_the_maxima_were(n: int) -> None:
    x = jax.random.normal(jax.random.key(n), (2, *(4,) * n, 3))
    y, indices = getattr(jseq, f"max_pool{n}d")(2, return_indices=True).apply((), x)
    back = getattr(jseq, f"max_unpool{n}d")(2).apply((), (y, indices))
    assert back.shape == x.shape
    assert jnp.array_equal(jnp.where(back != 0, x, 0), back) and int((back != 0).sum()) == y.size


def test_a_wide_mean_has_a_gradient_under_jit() -> None:
    """lax.reduce_window has none where its zero is traced: the mean of 10 steps was refused by jit alone."""
    layer = jseq.avg_pool1d(10, 3)
    gradient = jax.jit(jax.grad(lambda x: layer.apply((), x).sum()))(jnp.ones((23, 1)))
    assert float(gradient.sum()) == pytest.approx(5.0)
