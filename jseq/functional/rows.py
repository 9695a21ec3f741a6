"""A vector for all rows of an array: added, multiplied, with a gradient that all of a GPU sums."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jseq.functional.activation_smooth import widen
from jseq.functional.sharded import split_axes

PARTS = 64


def row(vector: jax.Array, x: jax.Array) -> jax.Array:
    """Gives the vector as many axes as x has."""
    return lax.expand_dims(vector, range(x.ndim - vector.ndim))


def shift(x: jax.Array, vector: jax.Array) -> jax.Array:
    """Gives x + vector, a vector of the last axes. A large gradient is that of `spread`, summed in float32 at least."""
    return _shift(x, vector) if _parts(vector, x) else lax.add(x, spread(vector, x))


def scale(x: jax.Array, vector: jax.Array) -> jax.Array:
    """Gives x * vector, with a gradient as that of `shift`."""
    return _scale(x, vector) if _parts(vector, x) else lax.mul(x, spread(vector, x))


def spread(vector: jax.Array, x: jax.Array) -> jax.Array:
    """Gives the vector a shape that broadcasts to that of x.

    Its gradient is a sum over the rows of x. XLA:GPU has one block of threads sum 32 columns of up to 4096 rows, which
    leaves most of the chip idle, and writes the summands to memory first. NVIDIA GPUs sum them in 16 to 64 parts here,
    and then the parts, and write none.
    """
    parts = _parts(vector, x)
    if not parts:
        return row(vector, x)
    *lead, rows, columns = x.shape

    def in_parts(vector: jax.Array) -> jax.Array:
        some = lax.optimization_barrier(jnp.broadcast_to(vector, (*lead, parts, columns)))
        return jnp.broadcast_to(some[..., None, :], (*lead, parts, rows // parts, columns)).reshape(x.shape)

    return lax.platform_dependent(vector, cuda=in_parts, default=partial(jnp.broadcast_to, shape=x.shape))


def _parts(vector: jax.Array, x: jax.Array) -> int:
    """In how many parts the last axis of rows is summed, each row of those before it apart; 0 where that does not pay.

    And 0 where axes are split over the devices of an explicit mesh, or open. Only one axis is cut, and none are joined,
    so that those which XLA splits over devices by itself stay where they are.
    """
    if vector.ndim != 1 or x.ndim < 2 or not all(isinstance(n, int) for n in x.shape):
        return 0
    lead = math.prod(x.shape[:-2])
    parts = math.gcd(x.shape[-2], PARTS // max(lead, 1))  # gcd(n, 0) is n: too many
    pays = 1024 <= lead * x.shape[-2] <= 4096 and x.size >= 2**21 and 16 <= parts * lead <= PARTS
    return parts if pays and not any((*split_axes(x), *split_axes(vector))) else 0


@jax.custom_jvp
def _shift(x: jax.Array, vector: jax.Array) -> jax.Array:
    return x + row(vector, x)


def _shift_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x, vector), (dx, dvector) = primals, tangents
    dy = jnp.zeros_like(x) if isinstance(dx, SymbolicZero) else dx
    if not isinstance(dvector, SymbolicZero):
        dy = dy + spread(widen(dvector), x).astype(x.dtype)
    return _shift(x, vector), dy


@jax.custom_jvp
def _scale(x: jax.Array, vector: jax.Array) -> jax.Array:
    return x * row(vector, x)


def _scale_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x, vector), (dx, dvector) = primals, tangents
    dy = jnp.zeros_like(x) if isinstance(dx, SymbolicZero) else dx * row(vector, x)
    if not isinstance(dvector, SymbolicZero):
        dy = dy + (widen(x) * spread(widen(dvector), x)).astype(x.dtype)
    return _scale(x, vector), dy


_shift.defjvp(_shift_jvp, symbolic_zeros=True)
_scale.defjvp(_scale_jvp, symbolic_zeros=True)
