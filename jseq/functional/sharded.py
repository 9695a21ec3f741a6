"""What an array's type says of its place on a mesh of explicit axes."""

import jax


def split_axes(x: jax.Array) -> tuple[bool, ...]:
    """Which axes of x are split over a mesh of explicit axes; JAX refuses to merge or to cut such axes."""
    return tuple(name is not None for name in jax.typeof(x).sharding.spec)


def on_mesh(*arrays: jax.Array) -> bool:
    """Whether one lives on a mesh that its type names: one that it was put on, or that of `jax.shard_map`."""
    return any(not jax.typeof(x).sharding.mesh.empty for x in arrays)
