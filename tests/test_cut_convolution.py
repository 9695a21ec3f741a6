"""Convolutions that a CPU computes in pieces, or padded before, against XLA's own in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jseq
from jseq import functional as F
from jseq.functional import conv_depthwise, conv_rules
from tests.convolutions import close, compiles_anew, gradients, is_cut, orders
from tests.everyday import slow_but_for

# Input, weight, groups, stride, padding, dilation.
CASES = {
    "depthwise": ((3, 8, 7, 6), (3, 3, 1, 6), 6, 1, 1, 1),
    "depthwise, strided": ((3, 9, 8, 6), (3, 2, 1, 6), 6, (2, 3), ((1, 0), (2, 1)), 1),
    "depthwise, dilated": ((3, 9, 8, 6), (2, 3, 1, 6), 6, 1, 2, (2, 3)),
    "depthwise, of several each": ((3, 8, 7, 4), (3, 3, 1, 12), 4, 2, 1, 1),
    "depthwise, one axis": ((3, 20, 6), (5, 1, 12), 6, 1, 2, 2),
    "depthwise, three axes": ((2, 5, 4, 6, 3), (3, 2, 3, 1, 3), 3, (1, 2, 1), 1, 1),
    "depthwise, 65 taps": ((2, 80, 4), (65, 1, 8), 4, 1, 3, 1),
    "three groups": ((3, 8, 7, 6), (3, 3, 2, 9), 3, (2, 1), 1, (1, 2)),
    "sixteen groups in eight parts": ((2, 5, 6, 32), (3, 3, 2, 48), 16, 1, 1, 1),
    "eleven groups": ((2, 5, 6, 22), (3, 3, 2, 11), 11, 1, 1, 1),
    "groups, points": ((2, 5, 6, 12), (1, 1, 3, 8), 4, 1, 0, 1),
    "groups, one axis": ((3, 20, 8), (5, 2, 8), 4, 3, 2, 1),
    "groups, three axes": ((2, 5, 4, 6, 4), (3, 1, 3, 2, 6), 2, (2, 1, 1), 1, (1, 1, 2)),
    "three axes": ((2, 6, 5, 4, 3), (3, 2, 3, 3, 5), 1, 1, ((1, 2), (0, 1), (1, 1)), 1),
    "three axes, strided": ((2, 9, 8, 7, 3), (3, 3, 3, 3, 5), 1, (2, 3, 1), 1, (2, 1, 1)),
    "three axes, one plane": ((2, 3, 8, 7, 3), (3, 1, 1, 3, 5), 1, 1, 0, 1),
    "an image smaller than its window": ((3, 2, 3, 5), (3, 4, 5, 6), 1, 1, ((1, 1), (2, 1)), 1),
    "a sequence shorter than its window": ((3, 3, 5), (5, 5, 6), 1, 1, 2, 1),
    "an output smaller than the window": ((3, 6, 5, 5), (3, 3, 5, 4), 1, (2, 3), ((1, 1), (0, 1)), 1),
    "an output smaller than the window, in blocks": ((2, 7, 5, 3), (5, 4, 3, 5), 1, (2, 3), ((2, 2), (0, 1)), 1),
    "an output smaller than the window, dilated": ((3, 9, 17), (4, 17, 6), 1, 2, ((4, 1),), 3),
    "an output larger than the image": ((3, 5, 4, 17), (2, 3, 17, 6), 1, 1, 2, 1),
    "an output larger than the image, many": ((17, 5, 4, 6), (2, 2, 6, 17), 1, 1, 2, (2, 1)),
    "an output larger than the sequence": ((3, 9, 17), (3, 17, 6), 1, 1, 4, 2),
    "a window of the image": ((3, 4, 5, 6), (4, 5, 6, 7), 1, 1, 0, 1),
    "a window of the sequence": ((3, 9, 4), (9, 4, 6), 1, 2, 0, 1),
    "an output smaller than windows that do not overlap": ((3, 8, 9, 2), (4, 3, 2, 5), 1, (4, 3), 0, 1),
    "windows that do not overlap": ((3, 7, 6, 4), (2, 2, 4, 6), 1, (3, 2), ((1, 0), (1, 2)), 1),
    "windows that do not overlap, dilated": ((3, 14, 3), (2, 3, 5), 1, 4, 0, 3),
    "windows that do not overlap, three axes": ((2, 4, 6, 6, 3), (2, 3, 2, 3, 5), 1, (2, 3, 2), 0, 1),
    "few channels out": ((3, 8, 7, 9), (3, 3, 9, 3), 1, 1, ((1, 1), (2, 0)), 1),
    "few channels out, dilated": ((3, 8, 7, 9), (3, 2, 9, 2), 1, 1, 2, (2, 1)),
    "few channels out, one axis": ((3, 20, 8), (7, 8, 1), 1, 1, 3, 1),
    "few channels out, more padding than window": ((3, 6, 5, 8), (2, 2, 8, 1), 1, 1, ((2, 3), (0, 4)), 1),
    "few channels out of a large batch": ((16, 4, 4, 64), (3, 3, 64, 4), 1, 1, 1, 1),
    "few channels in": ((3, 8, 7, 3), (3, 2, 3, 6), 1, (1, 2), ((1, 1), (2, 0)), (2, 1)),
    "few channels in and out": ((3, 8, 7, 5), (3, 3, 5, 6), 1, 1, 1, 1),
    "few channels in, many out": ((3, 8, 7, 5), (3, 2, 5, 17), 1, 1, ((2, 3), (0, 4)), 1),
    "few channels in, one axis": ((3, 20, 1), (7, 1, 18), 1, 5, 3, 1),
    "few channels out of many, one axis": ((3, 20, 18), (3, 18, 6), 1, 1, 3, 2),
    "few channels in, three axes": ((2, 4, 5, 6, 2), (2, 3, 3, 2, 5), 1, 1, 1, 1),
    "few channels in, layers": ((2, 4, 5, 6, 3), (4, 3, 2, 3, 5), 1, 1, ((3, 1), (1, 1), (0, 2)), (2, 1, 1)),
    "taps that meet nothing": ((3, 2, 1, 5), (7, 5, 5, 6), 1, (1, 2), ((3, 4), (2, 3)), 1),
    "taps that meet nothing, in groups": ((3, 2, 2, 6), (3, 3, 2, 6), 3, 2, ((1, 0), (2, 1)), (1, 2)),
    "taps that meet nothing, three axes": ((2, 1, 3, 2, 4), (3, 3, 3, 4, 5), 1, 1, 1, 1),
    "three axes, one tap": ((2, 3, 8, 7, 3), (1, 3, 3, 3, 5), 1, 1, ((0, 0), (1, 1), (1, 1)), 1),
}


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    monkeypatch.setattr(conv_rules, "LEAST", 0)
    monkeypatch.setattr(conv_rules, "SLOW_APART", True)
    monkeypatch.setattr(conv_rules, "SLOW_IF_ODD", True)
    monkeypatch.setattr(conv_rules, "CORES", 1)
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", False)


def arrays(name):
    draw = np.random.default_rng(0)
    x, w, *_ = CASES[name]
    return [draw.normal(size=size).astype(np.float32) for size in (x, w, x, w)]


def own(name):
    *_, groups, stride, padding, dilation = CASES[name]
    conv = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(CASES[name][0])]
    return lambda x, w: conv(x, w, None, stride, padding, dilation, groups)


def xlas(name):
    x, _, groups, stride, padding, dilation = CASES[name]
    n = len(x) - 2
    each = partial(np.broadcast_to, shape=(n,))
    pairs = np.broadcast_to(padding, (n, 2)) if np.ndim(padding) != 1 else [(p, p) for p in padding]
    spatial = "DHW"[:n]
    return lambda x, w: lax.conv_general_dilated(
        x, w, each(stride).tolist(), [tuple(map(int, pair)) for pair in pairs], None, each(dilation).tolist(),
        (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"), groups,
    )  # fmt: skip


EVERYDAY = ("depthwise, strided", "sixteen groups in eight parts", "three axes, strided", "a window of the image",
            "an image smaller than its window", "an output smaller than the window",
            "an output larger than the image, many", "taps that meet nothing", "windows that do not overlap",
            "few channels out", "few channels in", "few channels in, one axis")  # fmt: skip


@pytest.mark.parametrize("name", slow_but_for(EVERYDAY.__contains__, CASES))
def test_values_and_derivatives(name) -> None:
    """Of first and second order, in forward and in reverse mode."""
    x, w, dx, dw = arrays(name)
    scale = np.float32(np.prod(w.shape[:-1])) ** -0.5  # sines of large sums would show their roundings

    by_xla = "an output" in name or "out of many" in name or (name.startswith("windows") and "three axes" not in name)
    assert is_cut(gradients(own(name)), x, w) and is_cut(own(name), x, w) != by_xla
    scaled = (x, w * scale, dx, dw * scale)
    close(jax.jit(partial(orders, own(name)))(*scaled), partial(orders, xlas(name)), *scaled)


@pytest.mark.parametrize(
    "name",
    ["depthwise", "sixteen groups in eight parts", "three axes", "an image smaller than its window",
     "an output larger than the image, many", "a window of the image", "taps that meet nothing",
     "windows that do not overlap", "few channels out", "few channels in and out", "few channels in, one axis",
     "few channels in, layers"],
)  # fmt: skip
def test_vmap_gives_what_a_loop_gives(name) -> None:
    x, w, dx, dw = arrays(name)
    xs, ws = np.stack([x, dx]), np.stack([w, dw])
    for axes, given in (((0, None), (xs, w)), ((None, 0), (x, ws)), ((0, 0), (xs, ws))):
        close(jax.jit(jax.vmap(own(name), axes))(*given), jax.vmap(xlas(name), axes), *given)


DEPTHWISE = [name for name in CASES if name.startswith("depthwise") and "65" not in name]


@pytest.mark.parametrize(
    "name", slow_but_for({"depthwise, of several each", "depthwise, one axis"}.__contains__, DEPTHWISE)
)
def test_depthwise_gradients_of_parts_of_a_batch(name, monkeypatch) -> None:
    """Of two images each, zeros after the eleventh: XLA:CPU would write the image shifted by each tap."""
    w, draw = arrays(name)[1], np.random.default_rng(1)
    x, dx = (draw.normal(size=(11, *CASES[name][0][1:])).astype(np.float32) for _ in range(2))
    dw = draw.normal(size=w.shape).astype(np.float32)
    places = np.prod(jax.eval_shape(xlas(name), x, w).shape[1:-1])
    monkeypatch.setattr(conv_depthwise, "AT_ONCE", 2 * places * w.size)

    assert "length=6" in str(jax.make_jaxpr(gradients(own(name)))(x, w))
    assert "length=" not in str(jax.make_jaxpr(own(name))(x, w))
    close(jax.jit(partial(orders, own(name)))(x, w, dx, dw), partial(orders, xlas(name)), x, w, dx, dw)
    for axes, given in (((0, None), (np.stack([x, dx]), w)), ((None, 0), (x, np.stack([w, dw])))):
        found = jax.jit(jax.vmap(gradients(own(name)), axes))(*given)
        close(found, jax.vmap(gradients(xlas(name)), axes), *given)
    assert not compiles_anew(gradients(own(name)), x, w)


@pytest.mark.parametrize("name", [name for name in CASES if name[:5] in ("an im", "an ou", "a seq")])
def test_xla_exchanges_no_operands(name) -> None:
    """Where it does, its own convolution has a window that runs backwards, and takes 10 to 40 times as long."""
    x, w, *_ = arrays(name)

    def backwards(conv) -> bool:
        return "rhs_reversal" in jax.jit(gradients(conv)).lower(x, w).compile().as_text()

    assert backwards(xlas(name)) and not backwards(own(name))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("name", CASES)
def test_other_platforms_compile_xlas_own_convolution(name, platform) -> None:
    x, w, *_ = arrays(name)

    def lowered(conv):
        text = jax.jit(gradients(conv)).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        return [text.count(f"stablehlo.{op}") for op in ("convolution", "dot", "slice", "concatenate", "pad")]

    assert lowered(own(name)) == lowered(xlas(name)) and lowered(own(name))[0] == 3


@pytest.mark.parametrize(
    "name",
    ["depthwise", "sixteen groups in eight parts", "three axes", "few channels out", "few channels in and out",
     "few channels in, layers"],
)  # fmt: skip
def test_a_gradient_keeps_the_input_and_not_its_pieces(name) -> None:
    x, w, *_ = arrays(name)
    kind = {4: jseq.conv2d, 5: jseq.conv3d}[x.ndim]
    layer = kind(x.shape[-1], w.shape[-1], w.shape[: x.ndim - 2], groups=CASES[name][2], padding=1, bias=False)
    rows = jseq.summary(jseq.sequential(jnp.sin, layer), x).rows
    assert [row.kept_bytes for row in rows] == [x.nbytes, x.nbytes, 0]  # the sine


@pytest.mark.parametrize("stride", [1, (4, 5)])
def test_a_gradient_keeps_an_image_that_is_one_product(stride) -> None:
    x, *_ = arrays("a window of the image")
    x = np.tile(x, (1, 1, 1 if stride == 1 else 2, 1))  # one window, or two side by side
    rows = jseq.summary(jseq.sequential(jnp.sin, jseq.conv2d(6, 7, (4, 5), stride, bias=False)), x).rows
    assert [row.kept_bytes for row in rows] == [x.nbytes, x.nbytes, 0]  # the sine


@pytest.mark.parametrize(
    "name", ["depthwise", "three groups", "an image smaller than its window", "an output larger than the image",
             "a window of the image", "taps that meet nothing", "windows that do not overlap", "few channels out",
             "few channels in and out", "few channels in, one axis", "few channels in, layers"],
)  # fmt: skip
def test_calls_without_jit_compile_once(name) -> None:
    x, w, *_ = arrays(name)
    assert not compiles_anew(gradients(own(name)), x, w)


def test_large_numbers_of_one_group_leave_the_others_alone() -> None:
    """Between the groups of a part the dense weight is 0, and so is what flows back to it, whatever flows."""
    name = "sixteen groups in eight parts"
    x, w, *_ = arrays(name)
    sizes = np.repeat(np.tile(np.float32([1e-20, 1e20]), 8), 2).reshape(1, 1, 1, -1)
    backwards = np.repeat(np.tile(np.float32([1e20, 1e-20]), 8), 3).reshape(1, 1, 1, -1)
    expected = jax.grad(lambda w: jnp.sum(own(name)(x, w)))(w)
    found = jax.grad(lambda w: jnp.sum(own(name)(x * sizes, w) * backwards))(w)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6 * float(jnp.abs(expected).max()))
    broken = w.copy()
    broken[0, 0, 0, 0] = np.inf
    slope = jax.grad(lambda x: jnp.sum(own(name)(x, broken)))(x)
    np.testing.assert_array_equal(np.isfinite(slope).all((0, 1, 2)), np.arange(32) != 0)


def test_what_is_left_to_xla(monkeypatch) -> None:
    x, w, *_ = arrays("depthwise")
    monkeypatch.setattr(conv_rules, "LEAST", 2**16)
    assert is_cut(partial(F.conv2d, groups=6), np.ones((44, 7, 4, 6), np.float32), w)  # 66528 multiplications
    assert not is_cut(partial(F.conv2d, groups=6), np.ones((43, 7, 4, 6), np.float32), w)
    few = np.ones((3, 3, 16, 3), np.float32)
    assert is_cut(partial(F.conv2d, padding=1), np.ones((1, 394, 394, 16), np.float32), few)  # 4191372 columns
    assert not is_cut(partial(F.conv2d, padding=1), np.ones((1, 395, 395, 16), np.float32), few)
    monkeypatch.setattr(conv_rules, "LEAST", 0)
    half = jnp.asarray(x, jnp.bfloat16)
    assert not is_cut(
        partial(F.conv2d, groups=17), np.ones((2, 3, 3, 34), np.float32), np.ones((1, 1, 2, 17), np.float32)
    )
    assert not is_cut(partial(F.conv2d, groups=6), half, w)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put(x[:2], jax.sharding.PartitionSpec("data"))
        assert not is_cut(partial(F.conv2d, groups=6), split, w)
        found = jax.jit(partial(F.conv2d, groups=6))(split, w)
    close(found, lambda x, w: F.conv2d(x, w, groups=6), x[:2], w)


@pytest.mark.parametrize("padding", [((4, 1), (4, 1)), ((4, 2), (4, 0)), ((0, 5), (1, 3))])
def test_the_gradient_of_small_images_with_more_padding_than_window(padding, monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "LEAST", 2**16)
    draw = np.random.default_rng(0)
    x, w = (draw.normal(size=size).astype(np.float32) for size in ((4, 8, 8, 2), (3, 3, 2, 2)))
    conv = partial(F.conv2d, padding=padding)
    close(gradients(conv)(x, w), gradients(conv), x, w)


@pytest.mark.parametrize(("window", "stride", "padding"), [(4, 1, "same"), (3, 2, 1), (3, 1, 2)])
def test_images_split_over_devices_are_left_to_xla(window, stride, padding) -> None:
    draw = np.random.default_rng(0)
    x, w = (draw.normal(size=size).astype(np.float32) for size in ((8, 4, 2, 3), (window, window, 3, 5)))
    conv = partial(F.conv2d, stride=stride, padding=padding)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put(x, jax.sharding.PartitionSpec(None, "data"))
        found = jax.jit(gradients(conv))(split, jax.device_put(w, jax.sharding.PartitionSpec()))
    close(found, gradients(conv), x, w)


def test_a_symbolic_batch_is_exported() -> None:
    x, w, *_ = arrays("depthwise")
    conv = jax.jit(partial(F.conv2d, groups=6))
    (batch,) = jax.export.symbolic_shape("b")
    types = [jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype), jax.ShapeDtypeStruct(w.shape, w.dtype)]
    np.testing.assert_allclose(jax.export.export(conv)(*types).call(x, w), conv(x, w), rtol=0, atol=1e-5)
