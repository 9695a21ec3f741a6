"""What an array's type says of its place on a mesh of explicit axes."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding, reshard
from jax.sharding import PartitionSpec as P


def split_axes(x: jax.Array) -> tuple[bool, ...]:
    """Which axes of x are split over a mesh of explicit axes; JAX refuses to merge or to cut such axes."""
    return tuple(name is not None for name in jax.typeof(x).sharding.spec)


def on_mesh(*arrays: jax.Array) -> bool:
    """Whether one lives on a mesh that its type names: one that it was put on, or that of `jax.shard_map`."""
    return any(not jax.typeof(x).sharding.mesh.empty for x in arrays)


def sharding_beside(x: Any, axes: int) -> NamedSharding | None:
    """The sharding of what lies over a mesh as the first axes of x do, and is split nowhere else; None for no mesh."""
    sharding = jax.typeof(x).sharding
    # An array that is no tracer knows its devices, which without `jax.jit` and `jax.set_mesh` nothing else does.
    mesh = getattr(getattr(x, "sharding", sharding), "mesh", sharding.mesh)
    return NamedSharding(mesh, P(*sharding.spec[:axes])) if any(split_axes(x)[:axes]) else None


def placed(a: jax.Array, sharding: NamedSharding | None) -> jax.Array:
    """Lays an array over the mesh of a sharding; None leaves it as it is."""
    if sharding is None:
        return a
    return jax.device_put(a, sharding) if isinstance(sharding.mesh, Mesh) else reshard(a, sharding)


def zeros_beside(x: jax.Array, shape: Sequence[int], axes: int) -> jax.Array:
    """Zeros of the dtype of x, which lie over a mesh as its first axes do, and differ over devices where x does."""
    return lax.full_like(x, 0, shape=tuple(shape), sharding=sharding_beside(x, axes))


def summed_product(a: jax.Array, b: jax.Array, weight: jax.Array) -> jax.Array:
    """The products of the last axes, summed over all others, of which one is split; they lie as the weight does."""
    axes = tuple(range(a.ndim - 1))
    sharding = NamedSharding(jax.typeof(a).sharding.mesh, jax.typeof(weight).sharding.spec)
    return lax.dot_general(a, b, ((axes, axes), ((), ())), out_sharding=sharding)


def varying_alike(tree: Any, *others: Any) -> Any:
    """Gives the arrays, of types that say that they differ over all axes of `jax.shard_map` that any of these does.

    What starts a loop must have the type of what the loop makes of it, and JAX does not see to that by itself.
    """
    axes = frozenset[str]().union(*map(_varying, jax.tree.leaves((tree, others))))
    return jax.tree.map(lambda a: _cast(a, tuple(axes - _varying(a))), tree) if axes else tree


def _varying(x: Any) -> frozenset[str]:
    return jax.typeof(x).manual_axis_type.varying if isinstance(x, jax.Array) else frozenset()


def _cast(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    return lax.pcast(x, axes, to="varying") if axes else x
