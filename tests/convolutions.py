"""What the tests of convolutions share: derivatives held against float64, and what is compiled."""

import jax
import jax.numpy as jnp
import numpy as np


def close(found, function, *arrays, tolerance=5e-6) -> None:
    """Holds a tree against what a function gives in float64, relative to the largest of each array."""
    with jax.enable_x64(True):
        expected = jax.jit(function)(*(jnp.asarray(a, jnp.float64) for a in arrays))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max(), rtol=0)


def gradients(operation):
    """Both gradients of a sum of sines."""
    return jax.grad(lambda x, w: jnp.sum(jnp.sin(operation(x, w))), (0, 1))


def orders(operation, x, w, dx, dw):
    """The value, a tangent, and the gradients of a function of tangents."""

    def tangent(x, w):
        return jax.jvp(lambda x, w: jnp.sin(operation(x, w)), (x, w), (dx, dw))[1]

    return operation(x, w), tangent(x, w), jax.grad(lambda x, w: jnp.sum(tangent(x, w) ** 2), (0, 1))(x, w)


def is_cut(function, *arrays) -> bool:
    """Whether a function has a form for CPUs that is not XLA's own."""
    return "branches_platforms=(('cpu',), None)" in str(jax.make_jaxpr(function)(*arrays))


def compiles_anew(function, *arrays) -> bool:
    """Whether a call without `jax.jit` compiles when the same was called before."""
    compiled: list[str] = []

    def listen(event: str, _: float, **__) -> None:
        compiled.extend([event] if event.endswith("backend_compile_duration") else [])

    jax.block_until_ready(function(*arrays))
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(jax.jit(lambda x: x + 1)(jnp.zeros(())))
        assert compiled, "a compilation was not heard"
        compiled.clear()
        jax.block_until_ready(function(*arrays))
        return bool(compiled)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
