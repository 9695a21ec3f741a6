"""A vector for all rows: large gradients are summed in parts on NVIDIA GPUs; here they are, on the CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq import functional as F
from jseq.functional.rows import scale, shift, spread

RNG = np.random.default_rng(0)
ROWS, COLUMNS = 1056, 2048  # 32 parts of 33 rows


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def close(a, b, tolerance=2e-6) -> None:  # float32, sums of a thousand in another order, to the largest
    np.testing.assert_allclose(np.asarray(a, np.float64), b, atol=tolerance * np.abs(b).max(), rtol=0)


@pytest.fixture(params=["cpu", "cuda"])
def platform(request, trace_for):
    trace_for(request.param)
    return request.param


def is_in_parts(*shape: int) -> bool:
    return spread(jnp.ones(shape[-1]), jnp.ones(shape)).shape == shape


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((ROWS, COLUMNS), True),
        ((2, ROWS // 2, COLUMNS), True),  # rows of two axes
        ((64, 17, COLUMNS), True),  # 64 parts as it is
        ((128, 16, COLUMNS), False),  # more
        ((4096, 512), True),
        ((4160, 2048), False),  # XLA sums more than 4096 in parts itself
        ((512, 8192), False),  # few rows
        ((1024, 1024), False),  # a small sum
        ((1032, 2048), False),  # no 16 equal parts
    ],
)
def test_which_sums_are_in_parts(shape, expected) -> None:
    assert is_in_parts(*shape) == expected


def test_shift_and_scale(platform) -> None:
    x, v, g = normal(2, ROWS // 2, COLUMNS), normal(COLUMNS), normal(2, ROWS // 2, COLUMNS)
    x64, v64, g64 = (a.astype(np.float64) for a in (x, v, g))
    for function, y, dx, dv in (
        (shift, x64 + v64, g64, g64.sum((0, 1))),
        (scale, x64 * v64, g64 * v64, (g64 * x64).sum((0, 1))),
    ):
        found, pull = jax.vjp(jax.jit(lambda x, v, f=function: f(x, v)), x, v)
        close(found, y)
        for a, b in zip(pull(jnp.asarray(g)), (dx, dv), strict=True):
            close(a, b)
        text = str(jax.make_jaxpr(jax.grad(lambda v, f=function: f(x, v).sum()))(v))
        assert ("optimization_barrier" in text) == (platform == "cuda")


def test_derivatives_forward_twice_and_mapped(platform) -> None:
    x, v, dx, dv = normal(ROWS, COLUMNS), normal(COLUMNS), normal(ROWS, COLUMNS), normal(COLUMNS)
    x64, v64, dx64, dv64 = (a.astype(np.float64) for a in (x, v, dx, dv))
    close(jax.jvp(scale, (x, v), (dx, dv))[1], dx64 * v64 + x64 * dv64)
    close(jax.jvp(shift, (x, v), (dx, dv))[1], dx64 + dv64)

    def energy(v):
        return jnp.sum(scale(x, v) ** 3) / 6

    close(jax.jvp(jax.grad(energy), (v,), (dv,))[1], (x64**3).sum(0) * v64 * dv64)
    several = np.stack([v, dv])
    mapped = jax.vmap(jax.grad(lambda v: jnp.sum(scale(x, v) ** 2) / 2))(several)
    close(mapped, (x64**2).sum(0) * several.astype(np.float64))


def test_a_vector_or_rows_alone(platform) -> None:
    """The rule leaves out what is not asked for."""
    x, v = normal(ROWS, COLUMNS), normal(COLUMNS)
    close(jax.grad(lambda x: scale(x, v).sum())(x), np.broadcast_to(v.astype(np.float64), x.shape))
    close(jax.grad(lambda x: shift(x, v).sum())(x), np.ones(x.shape))
    close(jax.grad(lambda v: shift(x, v).sum())(v), np.full(v.shape, 1.0 * ROWS))
    for function in (shift, scale):
        text = str(jax.make_jaxpr(jax.grad(lambda x, f=function: f(x, v).sum()))(x))
        assert "barrier" not in text


def test_half_precision_is_summed_in_float32(platform) -> None:
    """1056 ones and halves: added up one by one in bfloat16 they would stop at 256."""
    x, v = jnp.ones((ROWS, COLUMNS), jnp.bfloat16), jnp.ones(COLUMNS, jnp.bfloat16)
    g = jnp.where(jnp.arange(ROWS)[:, None] % 2, 1.0, 0.5).astype(jnp.bfloat16) * x
    for function in (shift, scale):
        dx, dv = jax.vjp(function, x, v)[1](g)
        assert dx.dtype == dv.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(dv, np.float64), np.float64(jnp.bfloat16(0.75 * ROWS)))


def test_layers_with_such_vectors(platform) -> None:
    """The gradients of the parameters, by the sums that they are."""
    x, w, v, g = normal(ROWS, 8), normal(8, COLUMNS), normal(COLUMNS), normal(ROWS, COLUMNS)
    g64 = g.astype(np.float64)
    dw, db = jax.vjp(lambda w, b: F.linear(x, w, b), w, v)[1](jnp.asarray(g))
    close(dw, x.astype(np.float64).T @ g64)
    close(db, g64.sum(0))
    x = normal(ROWS, COLUMNS)
    x64 = x.astype(np.float64)
    centred = x64 - x64.mean(1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    dw, db = jax.vjp(lambda w, b: F.layer_norm(x, COLUMNS, w, b), v, v)[1](jnp.asarray(g))
    close(dw, (g64 * normed).sum(0))
    close(db, g64.sum(0))
    (dw,) = jax.vjp(lambda w: F.rms_norm(x, COLUMNS, w, 1e-5), v)[1](jnp.asarray(g))
    close(dw, (g64 * x64 / np.sqrt((x64**2).mean(1, keepdims=True) + 1e-5)).sum(0))


@pytest.mark.parametrize(("platform_name", "expected"), [("cuda", True), ("tpu", False), ("cpu", False)])
def test_where_a_model_sums_in_parts(platform_name, expected) -> None:
    model = jseq.linear(8, COLUMNS)
    x, params = jnp.ones((ROWS, 8)), jax.eval_shape(model.init, jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda params, x: model.apply(params, x).sum()))
    text = gradient.trace(params, x).lower(lowering_platforms=(platform_name,)).as_text()
    assert (f"tensor<32x{COLUMNS}xf32>" in text) == expected


@pytest.mark.parametrize(
    ("split", "split_vector"),
    [
        ((None, None), None),
        (("x", None), None),
        ((None, "x"), None),
        ((None, None), "x"),
        ((None, "x"), "x"),
    ],
)
def test_arrays_that_are_split_over_devices(platform, split, split_vector) -> None:
    """Each is differentiated alone, too: the tangents have to be split as the values are."""
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    x, v = normal(ROWS, COLUMNS), normal(COLUMNS)
    with jax.set_mesh(mesh):
        put = [jax.device_put(a, jax.NamedSharding(mesh, jax.P(*s))) for a, s in ((x, split), (v, (split_vector,)))]

        def loss(x, v):
            return jnp.sum(shift(scale(x, v), v) ** 2) / 2

        text = str(jax.make_jaxpr(jax.grad(loss, 1))(*put))
        found = jax.jit(jax.grad(loss, (0, 1)))(*put)
        alone = [jax.jit(jax.grad(loss, i))(*put) for i in (0, 1)]
    assert ("optimization_barrier" in text) == (platform == "cuda" and not any((*split, split_vector)))
    x64, v64 = x.astype(np.float64), v.astype(np.float64)
    y = (x64 + 1) * v64
    for gradients in (found, alone):
        for a, b in zip(gradients, (y * v64, (y * (x64 + 1)).sum(0)), strict=True):
            close(a, b, 2e-5)  # of numbers that are rounded three times before
