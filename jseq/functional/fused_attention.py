"""Attention by cuDNN's fused kernel, on NVIDIA GPUs in half precision."""

import contextlib
import functools
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.blocked_attention import Plan
from jseq.functional.sharded import split_axes

# On an H200, forward and gradient take 0.95, 0.52, 0.35, 0.13 of the time of all scores at once in JAX with
# 64, 128, 256, 1024 tokens (12 heads of 64, 32768 tokens in all).
FUSED_FROM = 64

IMPLEMENTATION = "cudnn"

_ALLOWED = ContextVar("cudnn", default=True)

_Three = tuple[jax.Array, jax.Array, jax.Array]


@functools.cache
def largest_head() -> int:
    """The largest head_dim that cuDNN takes here: 256 from Hopper on, 128 from Ampere on, 0 without such a GPU."""
    if jax.default_backend() != "gpu":
        return 0
    oldest = min(float(getattr(d, "compute_capability", 0)) for d in jax.devices())
    return 256 if oldest >= 9.0 else 128 if oldest >= 8.0 else 0


def fits(plan: Plan, query: jax.Array, value: jax.Array) -> bool:
    """Whether cuDNN computes this: half precision, heads of one size, even lengths, causal ones equal, none split.

    Shorter sequences than `FUSED_FROM` are as quick in JAX. A size left open by `jax.export` is no int.
    """
    size = query.shape[-1]
    return (
        _ALLOWED.get()
        and query.dtype in (jnp.bfloat16, jnp.float16)
        and all(isinstance(n, int) and n for n in (*query.shape, *value.shape))
        and plan.length % 2 == plan.keys % 2 == 0
        and min(plan.length, plan.keys) >= FUSED_FROM
        and value.shape[-1] == size
        and size % 8 == 0
        and 0 < size <= largest_head()
        and (not plan.is_causal or plan.length == plan.keys)
        and not any(any(split_axes(a)) for a in (query, value))
    )


@contextlib.contextmanager
def plain_attention() -> Generator[None, None, None]:
    """Has attention made of JAX's own operations, not of cuDNN's kernel, in what is traced inside.

    For arrays whose time axis is split over devices under `jax.jit`, which cuDNN refuses, and for forward-mode
    derivatives of short sequences. Without an NVIDIA GPU it changes nothing. What was traced before stays as it is.

    >>> from jseq.functional import scaled_dot_product_attention
    >>> q = jnp.ones((64, 2, 8), jnp.bfloat16)
    >>> with plain_attention():
    ...     y = jax.jit(scaled_dot_product_attention)(q, q, q)
    >>> y.shape
    (64, 2, 8)
    """
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def _cudnn(plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    window = None if plan.window is None else (plan.window - 1, 0)
    with jax.numpy_dtype_promotion("standard"):  # jax's own code mixes dtypes, which a user may have forbidden
        return jax.nn.dot_product_attention(
            q, k, v, scale=plan.scale, is_causal=plan.is_causal, local_window_size=window, implementation=IMPLEMENTATION
        )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def attend_fused(plan: Plan, plain: Any, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Attends as `plain(q, k, v)` does, by cuDNN.

    cuDNN's backward pass has no derivative: that of `plain` takes its place, so that second derivatives exist.

    Args:
        plan: what is static: lengths, scale, causality.
        plain: the same function of q, k and v in JAX.
        q, k, v: of shapes (B, T, heads, head_dim) and (B, S, kv_heads, head_dim).
    """
    return _cudnn(plan, *_together((q, k, v)))


def _together(arrays: Any) -> Any:
    """The same arrays, of which `jax.vmap` maps all or none: jax's rule for cuDNN takes all of its own for mapped.

    XLA takes the condition, which is always true, away.
    """
    first = [lax.slice(a, (0,) * a.ndim, (1,) * a.ndim).reshape(()) for a in jax.tree.leaves(arrays) if a.size]
    true = functools.reduce(jnp.logical_or, [a == a for a in first]) | True
    return jax.tree.map(lambda a: jnp.where(true, a, jnp.zeros_like(a)), arrays)


def _fwd(plan: Plan, plain: Any, q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, Any]:
    structures: list[Any] = []

    @jax.custom_vjp
    def forward(q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, Any]:
        """The output, and the arrays of what pulls back; what those depend on, `_backward` differentiates."""
        y, pull = jax.vjp(functools.partial(_cudnn, plan), *_together((q, k, v)))
        arrays, structure = jax.tree.flatten(pull)
        structures.append(structure)  # no two tracings give equal ones, which a function with derivatives has to
        return y, arrays

    forward.defvjp(
        lambda *primals: (forward(*primals), primals),
        lambda primals, cotangents: jax.vjp(plain, *primals)[1](cotangents[0]),
    )
    y, arrays = forward(q, k, v)
    return y, (jax.tree.unflatten(structures[-1], arrays), (q, k, v))


def _bwd(plan: Plan, plain: Any, residuals: Any, dy: jax.Array) -> _Three:
    return _backward(plain, *residuals, dy)


attend_fused.defvjp(_fwd, _bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _backward(plain: Any, pull: Any, primals: _Three, dy: jax.Array) -> _Three:
    pull, dy = _together((pull, dy))
    return pull(dy)


def _backward_fwd(plain: Any, pull: Any, primals: _Three, dy: jax.Array) -> tuple[_Three, Any]:
    return _backward(plain, pull, primals, dy), (primals, dy)


def _backward_bwd(plain: Any, residuals: Any, cotangents: _Three) -> tuple[None, _Three, jax.Array]:
    def gradient(primals: _Three, dy: jax.Array) -> _Three:
        return jax.vjp(plain, *primals)[1](dy)

    return None, *jax.vjp(gradient, *residuals)[1](cotangents)


_backward.defvjp(_backward_fwd, _backward_bwd)
