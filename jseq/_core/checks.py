"""What every call checks: its arguments, its context, and that the params belong to the layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from jseq.errors import CallError, describe, near_misses

if TYPE_CHECKING:
    from jseq.core import Layer

OPTIONS = ("key", "train", "context")
ARGUMENTS = {
    "init": ("key", "x"),
    "state_init": ("key", "x"),
    "apply": ("params", "x"),
    "state_apply": ("params", "state", "x"),
}
CALLS = {
    "init": "params = model.init(jax.random.key(0), x)",
    "state_init": "init, apply = jseq.with_state(model); params, state = init(jax.random.key(0), x)",
    "apply": "y = model.apply(params, x, key=key, train=True)",
    "state_apply": "init, apply = jseq.with_state(model); y, state = apply(params, state, x, key=key, train=True)",
}


def check_arguments(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Binds a call by name; refuses what does not fit and shows the call that works."""
    names = ARGUMENTS[kind]
    known = names + OPTIONS if "apply" in kind else names
    unknown = [name for name in kwargs if name not in known]
    call = f"The call that works: {CALLS[kind]}."
    if unknown:
        raise CallError(f"{unknown[0]!r} is no argument of {kind.removeprefix('state_')}."
                        f"{near_misses(unknown[0], known)} {call}")  # fmt: skip
    values = dict(zip(names, args, strict=False)) | kwargs
    required = names[:1] if "init" in kind else names
    twice = any(name in kwargs for name in names[: len(args)])
    if len(args) > len(names) or twice or any(name not in values for name in required):
        wanted = ", ".join(names)
        raise CallError(f"expected ({wanted}), got {len(args)} positional arguments"
                        f"{''.join(f', {name}' for name in kwargs)}. {call}")  # fmt: skip
    return values


def check_context(layer: "Layer", context: Any) -> None:
    """Refuses a context that is no dict, or holds a name that no layer reads."""
    if context is None:
        return
    if not isinstance(context, Mapping):
        raise CallError(f'context is a dict of arrays, got {describe(context)}: context={{"mask": mask}}.')
    for name in context:  # pyright: ignore[reportUnknownVariableType]
        if name not in layer.reads:
            known = ", ".join(sorted(layer.reads)) or "nothing"
            raise CallError(f"no layer reads {name!r} from context.{near_misses(str(name), layer.reads)} "
                            f"This model reads: {known}.")  # pyright: ignore  # fmt: skip


def fits(wanted: Any, given: Any) -> bool:
    """Whether two trees have one structure and the same shapes."""
    if jax.tree.structure(wanted) != jax.tree.structure(given):
        return False
    pairs = zip(jax.tree.leaves(wanted), jax.tree.leaves(given), strict=True)
    return all(jnp.shape(a) == jnp.shape(b) for a, b in pairs)


def misfit(wanted: Any, given: Any) -> str:
    """Says how two trees differ: what is missing, unexpected and misshapen."""
    a, b = by_path(wanted), by_path(given)
    rows = [f"{path}: expected {describe(a[path])}, got {describe(b[path])}"
            for path in a if path in b and jnp.shape(a[path]) != jnp.shape(b[path])]  # fmt: skip
    rows += [f"missing {path!r}" for path in a if path not in b]
    rows += [f"unexpected {path!r}" for path in b if path not in a and path]
    return "; ".join(rows) if rows and "" not in b else f"expected {describe(wanted)}, got {describe(given)}"


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, as in torch: `out_proj.weight`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
