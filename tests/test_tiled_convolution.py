"""Convolutions in tiles: Winograd's sums, their derivatives, what `vmap` makes of them, and who takes them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jseq import functional as F
from jseq.functional import conv_rules, tiled, winograd
from jseq.functional.tiled import conv_tiled
from tests import convolutions

ONE, NONE = ((1, 1), (1, 1)), ((0, 0), (0, 0))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


close = partial(convolutions.close, tolerance=3e-6)


def direct(x, weight, padding):
    return lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.fixture
def small_parts(monkeypatch):
    """Loops over parts of a batch that would be one otherwise."""
    jax.clear_caches()
    monkeypatch.setattr(winograd, "AT_ONCE", 40)
    yield
    jax.clear_caches()


@pytest.mark.parametrize(
    ("batch", "size", "padding"),
    [
        (1, (8, 8), ONE), (6, (7, 9), ONE), (7, (3, 4), ONE), (7, (8, 8), NONE), (1, (3, 4), NONE),
        (6, (8, 8), ((1, 2), (0, 3))), (7, (7, 9), ((1, 2), (0, 3))), (6, (3, 4), ((3, 3), (4, 2))),
        (1, (7, 9), ((3, 3), (4, 2))),
    ],
)  # fmt: skip
def test_sums_and_gradients(small_parts, batch, size, padding) -> None:
    x, w = normal(batch, *size, 5), normal(3, 3, 5, 4)

    def orders(conv, x, w):
        y, pull = jax.vjp(partial(conv, padding=padding), x, w)
        return y, pull(jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    assert winograd.tiles_of(x.shape, padding) == np.prod([-(-n // 2) for n in jax.eval_shape(
        partial(direct, padding=padding), x, w).shape[1:3]])  # fmt: skip
    close(jax.jit(partial(orders, conv_tiled))(x, w), partial(orders, direct), x, w)


def test_large_means_cost_no_digits() -> None:
    """As many as XLA's own: the sums of absolute values are of 1e4 times 4096 weights."""
    x, w = normal(4, 8, 8, 64) + np.float32(1e4), normal(3, 3, 64, 8)
    tolerance = 2e-6  # 16 roundings of the largest output
    close(conv_tiled(x, w, ONE), partial(direct, padding=ONE), x, w, tolerance=tolerance)
    close(direct(x, w, ONE), partial(direct, padding=ONE), x, w, tolerance=tolerance)


def test_forward_mode_and_second_derivatives(small_parts) -> None:
    x, w, dx, dw = normal(6, 6, 5, 3), normal(3, 3, 3, 4), normal(6, 6, 5, 3, seed=1), normal(3, 3, 3, 4, seed=1)

    def orders(conv, x, w, dx, dw):
        def tangent(x, w):
            return jax.jvp(lambda x, w: jnp.sin(conv(x, w, padding=ONE)), (x, w), (dx, dw))[1]

        def slope(x, w):
            return jax.grad(lambda x, w: jnp.sum(tangent(x, w) ** 2), (0, 1))(x, w)

        return tangent(x, w), slope(x, w), jax.jvp(slope, (x, w), (dx, dw))[1]

    close(orders(conv_tiled, x, w, dx, dw), partial(orders, direct), x, w, dx, dw, tolerance=2e-5)


def test_each_is_the_transpose_of_the_other(small_parts) -> None:
    """Of the gradients, which are linear in each argument, too."""
    x, w, g = normal(6, 6, 5, 3), normal(3, 3, 3, 4), normal(6, 6, 5, 4)

    def transposed(conv, x, w, g):
        def by_weight(x, g):
            return jax.linear_transpose(partial(conv, x, padding=ONE), w)(g)[0]

        return by_weight(x, g), jax.vjp(by_weight, x, g)[1](jnp.asarray(w))

    close(transposed(conv_tiled, x, w, g), partial(transposed, direct), x, w, g)


@pytest.mark.parametrize("axes", [(0, None), (2, None), (None, 0), (None, 2), (0, 0), (2, 0), (0, 2)])
def test_vmap_gives_what_a_loop_gives(small_parts, axes) -> None:
    """Over images, weights or both, along any axis; the gradients of each member, too."""
    arrays = normal(3, 6, 3, 5, 4), normal(3, 3, 3, 4, 5)
    x, w = (a[0] if axis is None else a for a, axis in zip(arrays, axes, strict=True))

    def members(conv, x, w):
        def loss(x, w):
            return jnp.sum(jnp.sin(conv(x, w, padding=ONE)))

        return [jax.vmap(f, axes)(x, w) for f in (partial(conv, padding=ONE), jax.grad(loss), jax.grad(loss, 1))]

    close(jax.jit(partial(members, conv_tiled))(x, w), partial(members, direct), x, w)


@pytest.mark.parametrize("shape", [(0, 6, 6, 3), (2, 0, 6, 3), (2, 6, 0, 3), (2, 6, 6, 0)])
def test_empty_arrays(shape) -> None:
    """As XLA's own: zeros of the right shape, in gradients and under vmap as well."""
    x, padding = jnp.zeros(shape), ((2, 2), (1, 3))
    w = jnp.ones((3, 3, shape[-1], 4))
    for conv in (conv_tiled, direct):
        y, pull = jax.vjp(partial(conv, padding=padding), x, w)
        mapped = jax.vmap(jax.vjp, (None, 0, None))(partial(conv, padding=padding), jnp.ones((0, *shape)), w)[0]
        assert y.shape == (shape[0], shape[1] + 2, shape[2] + 2, 4) and mapped.shape == (0, *y.shape) and not y.any()
        assert [a.shape for a in pull(y)] == [x.shape, w.shape] and not any(a.any() for a in pull(y))


def test_mapped_weights_compile_once() -> None:
    x, ws = normal(2, 6, 6, 3), normal(5, 3, 3, 3, 4)

    def conv(w):
        return jax.vmap(lambda w: conv_tiled(x, w, ONE))(w)

    conv(ws)
    compiled = tiled._one_by_one._cache_size()
    conv(ws)
    assert tiled._one_by_one._cache_size() == compiled > 0


def test_images_that_vmap_maps_join_the_batch() -> None:
    """In place of a loop over them, or of larger parts."""
    x, w = normal(5, 2, 6, 6, 3), normal(3, 3, 3, 4)
    (equation,) = (
        e for e in jax.make_jaxpr(jax.vmap(lambda x: conv_tiled(x, w, ONE)))(x).eqns if e.primitive.name == "conv_tiled"
    )
    assert equation.invars[0].aval.shape == (10, 6, 6, 3)


def test_no_place_sees_what_lies_outside_its_window() -> None:
    """Not by rounding, and not by an infinity."""
    x, w = normal(1, 9, 8, 4), normal(3, 3, 4, 3)
    for row, column in [(0, 0), (3, 4), (4, 3), (8, 7)]:
        near = (abs(np.arange(9)[:, None] - row) <= 1) & (abs(np.arange(8) - column) <= 1)
        slope = jax.grad(lambda x, at=(0, row, column): jnp.sum(conv_tiled(x, w, ONE)[at]))(x)
        np.testing.assert_array_equal((slope != 0).any((0, 3)), near)
        infinite = x.copy()
        infinite[:, row, column] = np.inf
        np.testing.assert_array_equal(~np.isfinite(conv_tiled(infinite, w, ONE)).all((0, 3)), near)


def takes_tiles(x, w, **options) -> bool:
    return "conv_tiled" in str(jax.make_jaxpr(lambda x, w: F.conv2d(x, w, **options))(x, w))


def test_who_takes_tiles(monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "CORES", 1)
    x, w = normal(8, 8, 8, 64), normal(3, 3, 64, 64)
    assert takes_tiles(x, w, padding=1) and takes_tiles(x[:2], w, padding=1)
    assert not takes_tiles(x[:1], w, padding=1)  # 16 tiles
    assert not takes_tiles(normal(1, 98, 98, 64), w)  # 2304 of one image
    assert not takes_tiles(x[..., :32], w[:, :, :32], padding=1)
    assert not takes_tiles(x[..., :31], normal(3, 3, 31, 256), padding=1)
    assert not takes_tiles(x, w, padding=1, stride=2)
    assert not takes_tiles(x, w, padding=1, dilation=2)
    assert not takes_tiles(x, w[:, :, :32], padding=1, groups=2)
    assert not takes_tiles(x, normal(1, 3, 64, 64))
    assert not takes_tiles(x.astype(jnp.bfloat16), w, padding=1)
    monkeypatch.setattr(conv_rules, "CORES", 2)
    assert not takes_tiles(x, w, padding=1)
    x, w = normal(16, 8, 8, 128), normal(3, 3, 128, 256)
    assert takes_tiles(x, w, padding=1) and not takes_tiles(x[:8], w, padding=1)


def parts(images: int, channels: int) -> list[int]:
    """Into how many parts images of 7x7, 16 tiles each, are cut: for the output, and for the gradient of the weight."""
    x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((images, 7, 7, channels), (3, 3, channels, channels)))
    jaxprs = (jax.make_jaxpr(partial(winograd.output, padding=ONE))(x, w),
              jax.make_jaxpr(partial(winograd.weight_gradient, padding=ONE))(x, x))  # fmt: skip
    return [sum(e.params["length"] for e in jaxpr.eqns if e.primitive.name == "scan") for jaxpr in jaxprs]


def test_of_many_channels_fewer_tiles_are_worked_on_at_once() -> None:
    assert parts(32, 128) == parts(32, 32) == [0, 0] and parts(64, 128) == [2, 2]
    assert parts(32, 256) == [0, 0] and parts(32, 400) == [2, 2]
    assert parts(32, 512) == parts(32, 2048) == [4, 2]


def gradient_form(images: int, size: int, taps: int, padding: int, inside: int, stride: int = 1) -> str:
    x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (
        (images, size, size, inside), (taps, taps, inside, 64)))  # fmt: skip
    return conv_rules.forms_of(x, w, ((stride, stride), ((padding, padding),) * 2, (1, 1))).weight_gradient


def test_who_gets_the_weight_gradient_by_eigen() -> None:
    def form(images: int, size: int, taps: int, padding: int, inside: int = 64) -> str:
        return gradient_form(images, size, taps, padding, inside)

    assert form(32, 24, 5, 2) == form(16, 24, 5, 0) == "plain"
    assert form(64, 24, 5, 2) == form(32, 24, 5, 0) == form(32, 48, 5, 2) == form(32, 24, 5, 2, inside=3) == "wide"
    assert form(32, 24, 2, 0) == "wide"


@pytest.mark.parametrize("merges", [False, True])
def test_whose_weight_gradient_alone_is_in_tiles(monkeypatch, merges) -> None:
    """With jax 0.12, and before it where there are many pairs; by Eigen where that is as fast."""

    def forms(images: int, size: int, inside: int, outside: int) -> conv_rules.Forms:
        x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (
            (images, size, size, inside), (3, 3, inside, outside)))  # fmt: skip
        return conv_rules.forms_of(x, w, ((1, 1), ONE, (1, 1)))

    monkeypatch.setattr(conv_rules, "MERGES", merges)
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", False)
    alone, own = conv_rules.Forms(weight_gradient="tiles"), conv_rules.Forms()
    for cores in (1, 2):
        monkeypatch.setattr(conv_rules, "CORES", cores)
        assert forms(1, 112, 64, 64) == (own if merges else alone)  # 3136 tiles
        assert forms(1, 130, 64, 64) == own  # 4225
        assert forms(4, 64, 32, 64) == forms(8, 28, 16, 128) == forms(8, 28, 128, 16) == (own if merges else alone)
        assert forms(1, 8, 64, 64) == (own if merges else alone)  # 16 tiles
        assert forms(8, 32, 32, 32) == forms(8, 28, 15, 256) == own
        by_eigen = merges or cores == 1
        assert forms(64, 16, 32, 64).weight_gradient == ("wide" if by_eigen else "tiles")
    assert forms(8, 32, 64, 64) == alone  # of two cores


@pytest.mark.parametrize("merges", [False, True])
@pytest.mark.parametrize("channels", [(3, 5), (5, 3)])
@pytest.mark.parametrize("batch", [1, 7])
def test_weight_gradients_of_every_version(monkeypatch, small_parts, batch, channels, merges) -> None:
    """The fewer channels are turned, in loops and without, by themselves or within a conditional."""
    monkeypatch.setattr(winograd, "MERGES", merges)
    inside, outside = channels
    x, g = normal(batch, 7, 6, inside), normal(batch, 7, 6, outside, seed=1)

    def gradient(x, g):
        return jax.vjp(partial(direct, x, padding=ONE), jnp.zeros((3, 3, inside, outside), x.dtype))[1](g)[0]

    found = jax.jit(partial(winograd.weight_gradient, padding=ONE))
    assert ("cond" in str(found.trace(x, g).jaxpr)) == merges
    close(found(x, g), gradient, x, g)
    broken = g.copy()
    broken[0, 0, 0, 0] = np.nan  # where the conditional goes the other way
    np.testing.assert_array_equal(np.isnan(found(x, broken)), np.isnan(gradient(x, broken)) | (np.arange(outside) == 0))
    # Two sums of the same 294 products in another order: 1e-4 is 5e-6 of the largest of them.
    np.testing.assert_allclose(found(x, broken)[..., 1:], found(x, g)[..., 1:], rtol=0, atol=1e-4)


def test_whose_patches_get_the_weight_gradient_by_blocks(monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "SLOW_APART", True)  # as of jax 0.10 and 0.11
    assert gradient_form(8, 64, 4, 0, 3, stride=4) == gradient_form(8, 224, 8, 0, 3, stride=8) == "blocks"
    assert gradient_form(8, 64, 8, 0, 3, stride=8) == gradient_form(8, 224, 16, 0, 3, stride=16) == "plain"


def test_a_layers_function_in_tiles(monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "CORES", 1)
    x, w, bias = normal(3, 9, 8, 64), normal(3, 3, 64, 64), normal(64)
    assert takes_tiles(x, w, padding="same")
    found = F.conv2d(x, w, bias, padding="same")
    close(found, lambda x, w, b: direct(x, w, ONE) + b.reshape(1, 1, 1, -1), x, w, bias)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_compile_xlas_own_convolution(monkeypatch, platform) -> None:
    monkeypatch.setattr(conv_rules, "CORES", 1)
    x, w = normal(8, 8, 8, 64), normal(3, 3, 64, 64)

    def lowered(conv):
        def orders(x, w):
            return jax.value_and_grad(lambda x, w: jnp.sum(jnp.sin(conv(x, w))), (0, 1))(x, w)

        text = jax.jit(orders).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        return [text.count(name) for name in ("stablehlo.convolution", "stablehlo.dot", "stablehlo.while")]

    assert lowered(partial(F.conv2d, padding=1)) == lowered(partial(direct, padding=ONE)) == [3, 0, 0]


def gradients(conv, x, w):
    return jax.grad(lambda x, w: jnp.sum(jnp.sin(conv(x, w))), (0, 1))(x, w)


@pytest.mark.parametrize("placed", [None, AxisType.Auto, AxisType.Explicit])
def test_batches_over_devices(monkeypatch, placed) -> None:
    """Where the type of an array names its mesh XLA's own convolution is taken, which does not gather the batch."""
    monkeypatch.setattr(conv_rules, "CORES", 1)
    x, w = normal(4, 8, 8, 64), normal(3, 3, 64, 64) / 24
    mesh = jax.make_mesh((2,), ("data",), axis_types=(placed or AxisType.Auto,))
    places = [jax.NamedSharding(mesh, spec) for spec in (P("data"), P())]
    step = jax.jit(partial(gradients, partial(F.conv2d, padding=1)), in_shardings=None if placed else places)
    given = jax.device_put([x, w], places) if placed else (x, w)
    assert ("conv_tiled" in str(step.trace(*given).jaxpr)) == (placed is None)
    close(step(*given), partial(gradients, partial(direct, padding=ONE)), x, w)


def test_within_shard_map(monkeypatch) -> None:
    """The gradient of a weight that all devices share is the sum over them."""
    monkeypatch.setattr(conv_rules, "CORES", 1)
    x, w = normal(8, 8, 8, 64), normal(3, 3, 64, 64) / 24
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))

    def gradient(conv, x, w):
        return jax.grad(lambda w: jnp.sum(jnp.sin(conv(x, w))))(w)

    assert takes_tiles(x[:4], w, padding=1)
    mapped = jax.shard_map(partial(F.conv2d, padding=1), mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"))
    assert "conv_tiled" not in str(jax.make_jaxpr(partial(gradient, mapped))(x, w))
    close(jax.jit(partial(gradient, mapped))(x, w), partial(gradient, partial(direct, padding=ONE)), x, w)
