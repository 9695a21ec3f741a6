"""Where XLA is to merge nothing: arrays that are cheaper computed twice than kept, or kept than computed twice."""

import jax
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# Whether XLA:CPU merges what barriers keep apart, so that what many read is computed for each of them.
MERGES = jax.__version_info__ < (0, 12)

# An operation of its own: of `lax.platform_dependent` JAX traces, differentiates and transposes both branches. Layer
# norm with its gradient is traced in 9 ms so, in place of 14.
_apart = Primitive("apart")


def apart(x: jax.Array) -> jax.Array:
    """Gives x, with which XLA:CPU merges nothing across; elsewhere XLA fuses as it likes.

    What is made of `apart(x)` is not shared with the same made of x, so the backward pass can compute again what the
    forward pass would keep in memory; and x itself is computed once, not within each of its readers. Around norms the
    gradient of 12 transformer blocks compiles in 0.5 of the time and runs in 0.95, of 32 residual MLPs in 0.2 and 0.8.
    """
    return _apart.bind(x)


_apart.def_impl(lambda x: x)
_apart.def_abstract_eval(lambda x: x)
mlir.register_lowering(_apart, lambda _, x: [x])
mlir.register_lowering(_apart, mlir.lower_fun(lax.optimization_barrier, multiple_results=False), platform="cpu")
ad.deflinear2(_apart, lambda g, _: [apart(g)])
batching.defvectorized(_apart)


def kept(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Gives the arrays, which XLA is to keep on NVIDIA GPUs: it would sum them again within each of their readers.

    Layer norm of 768 features with its gradient takes 0.62 of the naive time on an H200, 1.13 without; in bfloat16 0.62
    and 1.16.
    """
    return lax.platform_dependent(*arrays, cuda=lambda *a: lax.optimization_barrier(a), default=lambda *a: a)


def turned(weight: jax.Array, rows: int) -> jax.Array:
    """Gives the weight of `x @ weight`, for x of so many rows; narrow ones get their gradient as `(g.T @ x).T`.

    That product of few columns is what XLA:CPU is slow at. The gradient of the weight and a step along it take 0.18 to
    0.87 of the time for 10 outputs, 0.55 to 0.99 for 64, 0.53 to 1.06 for 256 (17 shapes, one and two threads); for
    wider ones the transposing costs more than it saves. Below 2**14 elements of x there is nothing to save.
    """
    sizes = (*weight.shape[-2:], rows)
    if not all(isinstance(n, int) for n in sizes):  # left open by `jax.export`
        return weight
    wide, narrow, rows = sizes
    pays = narrow <= 256 and wide >= 3 * narrow and rows >= 2 * narrow and rows * wide >= 2**14
    return _turned(weight) if pays else weight


@jax.custom_jvp
def _turned(weight: jax.Array) -> jax.Array:
    return weight


@_turned.defjvp
def _turned_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return primals[0], turn(tangents[0])


def turn(weight: jax.Array) -> jax.Array:
    """Gives the weight of `x @ weight`, whose transpose by the weight is `(g.T @ x).T`."""
    order = (*range(weight.ndim - 2), weight.ndim - 1, weight.ndim - 2)
    return lax.transpose(apart(lax.transpose(weight, order)), order)


@jax.custom_jvp
def whole(x: jax.Array) -> jax.Array:
    """Gives x, which is cut in parts: its gradient is put together once, not within each of its readers."""
    return x


@whole.defjvp
def _whole_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return primals[0], kept(tangents[0])[0]
