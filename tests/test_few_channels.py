"""Convolutions of few channels: which get more of zeros on CPU, and that nothing else is seen of them.

Their values and derivatives are held against XLA's own in `test_cut_convolution.py`.
"""

import re
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from jseq import functional as F
from jseq.functional import conv_rules


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    monkeypatch.setattr(conv_rules, "SLOW_IF_ODD", False)
    monkeypatch.setattr(conv_rules, "SLOW_FROM_MANY", False)
    monkeypatch.setattr(conv_rules, "MERGES", False)
    monkeypatch.setattr(conv_rules, "CORES", 1)
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", False)


def conv_of(weight):
    return {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(weight)]


def text(x, weight, stride=1):
    given = (jax.ShapeDtypeStruct(sizes, jnp.float32) for sizes in (x, weight))
    return str(jax.make_jaxpr(partial(conv_of(weight), stride=stride))(*given))


FEW = ((64, 28, 28, 1), (5, 5, 1, 6))


@pytest.mark.parametrize(
    ("x", "weight", "stride", "filled"),
    [
        (*FEW, 1, True),
        ((8, 20, 20, 6), (3, 3, 6, 16), 2, True),
        ((8, 20, 20, 7), (3, 3, 7, 16), 1, False),
        ((8, 20, 20, 6), (3, 3, 6, 17), 1, False),
        ((8, 20, 20, 6), (5, 5, 6, 16), 1, False),  # many taps of more than four
        ((8, 20, 20, 4), (4, 4, 4, 16), 4, False),  # a long stride
        ((8, 200, 1), (9, 1, 16), 5, True),  # but not of one
        ((13, 129, 129, 1), (3, 3, 1, 8), 1, True),  # 4193540 elements
        ((13, 130, 130, 1), (3, 3, 1, 8), 1, False),  # 4259840
    ],
)
def test_which_get_more_channels(x, weight, stride, filled) -> None:
    assert (",20] = conv_general_dilated" in text(x, weight, stride)) == filled


@pytest.mark.parametrize(("cores", "in_one_thread", "most"), [(1, False, 16), (2, True, 2), (4, True, 0)])
def test_versions_that_leave_cores_idle_get_fewer(cores, in_one_thread, most, monkeypatch) -> None:
    monkeypatch.setattr(conv_rules, "SLOW_FROM_MANY", True)
    monkeypatch.setattr(conv_rules, "CORES", cores)
    monkeypatch.setattr(conv_rules, "IN_ONE_THREAD", in_one_thread)
    found = [n for n in range(1, 20) if ",20] = conv_general_dilated" in text((2, 9, 9, n), (3, 3, n, 8))]
    assert found == list(range(1, most + 1))


def test_one_axis_is_a_row_and_three_are_layers() -> None:
    assert "f32[8,1,192,64] = conv_general_dilated" in text((8, 200, 2), (9, 2, 64))
    assert "f32[24,9,9,24] = conv_general_dilated" in text((2, 12, 11, 11, 3), (3, 3, 3, 3, 8))


@pytest.mark.parametrize(("size", "layers"), [(40, True), (42, False)])  # 4096000 and 4515840 elements
def test_large_images_get_their_gradient_by_planes(size, layers) -> None:
    """What layers write is more than what planes do: beyond 16 MB it costs what it saves."""
    x, w = np.ones((4, size, size, 20, 1), np.float32), np.ones((2, 3, 3, 1, 16), np.float32)
    found = str(jax.make_jaxpr(jax.grad(lambda x: F.conv3d(x, w, padding=1).sum()))(x))
    products = re.findall(r"f32\[(\d+),9\] = dot_general", found)
    assert products == ([str(4 * size * size * 20)] if layers else [str(4 * (size + 1) * size * 20)])


@pytest.mark.parametrize(("inside", "merges", "columns"), [(4, True, True), (6, True, False), (6, False, True)])
def test_few_channels_get_their_gradient_as_one_product(inside, merges, columns, monkeypatch) -> None:
    """Where what is kept apart is merged all the same, a sum of many parts costs what it saves."""
    monkeypatch.setattr(conv_rules, "MERGES", merges)
    x, w = np.ones((16, 12, 12, inside), np.float32), np.ones((3, 3, inside, 16), np.float32)
    found = str(jax.make_jaxpr(jax.grad(lambda x: F.conv2d(x, w).sum()))(x))
    assert (f",{9 * inside}] = dot_general" in found) == columns


def test_mapped_weights_are_left_to_xla() -> None:
    """With one input for all they are a convolution to many channels, each with its own one in groups."""
    draw = np.random.default_rng(0)
    xs, ws = (draw.normal(size=sizes).astype(np.float32) for sizes in ((4, 2, 6, 6, 3), (4, 3, 3, 3, 6)))
    for axes, given, mapped in (
        ((None, 0), (xs[0], ws), True),
        ((0, 0), (xs, ws), True),
        ((0, None), (xs, ws[0]), False),
    ):
        both = jax.vmap(F.conv2d, axes)
        assert (",20] = conv_general_dilated" in str(jax.make_jaxpr(both)(*given))) != mapped
        alone = [F.conv2d(xs[i if axes[0] == 0 else 0], ws[i if axes[1] == 0 else 0]) for i in range(4)]
        # float32 sums of 27 products of normal numbers, up to 20, in another order
        np.testing.assert_allclose(both(*given), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("where", ["x", "weight"])
def test_what_is_not_finite_reaches_what_it_reaches_elsewhere(where) -> None:
    draw = np.random.default_rng(0)
    x, w = (draw.normal(size=sizes).astype(np.float32) for sizes in ((2, 6, 6, 3), (3, 3, 3, 5)))
    (x if where == "x" else w)[1, 2, 1, 1] = np.inf
    found = jax.jit(F.conv2d)(x, w)
    expected = jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


def test_a_symbolic_batch_gets_more_channels_too() -> None:
    draw = np.random.default_rng(0)
    x, w = (draw.normal(size=sizes).astype(np.float32) for sizes in ((3, 6, 6, 3), (3, 3, 3, 5)))
    batch, *_ = jax.export.symbolic_shape("batch")
    exported = jax.export.export(jax.jit(F.conv2d))(jax.ShapeDtypeStruct((batch, 6, 6, 3), np.float32), w)
    assert "x20xf32>" in exported.mlir_module()
    # as above; the exported program is compiled with the batch open
    np.testing.assert_allclose(exported.call(x, w), F.conv2d(x, w), rtol=0, atol=1e-5)


def test_images_on_a_mesh_are_left_to_xla() -> None:
    x, w = np.ones((4, 6, 6, 3), np.float32), np.ones((3, 3, 3, 8), np.float32)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put(x, jax.sharding.PartitionSpec("data"))
        assert "pad" not in str(jax.make_jaxpr(F.conv2d)(split, w)).replace("padding", "")
        np.testing.assert_array_equal(jax.jit(F.conv2d)(split, w), np.full((4, 4, 4, 8), 27.0))
