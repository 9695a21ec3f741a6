"""jseq's side of the parity tests: the same numbers as tests/torch_side.py, under the same names."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jseq
from tests.case import Case

VECTORS = Path(__file__).parent / "vectors"


def by_path(tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def forward_and_backward(case: Case, params: Any) -> Callable[..., tuple[dict[str, Any], Any]]:
    """Gives `(state, seed, train)` -> a call and the gradients of `sum(sin(y))`; and the new state."""
    apply = jseq.with_state(case.layer).apply

    def loss(moving: tuple[Any, dict[int, jax.Array]], still: tuple[Any, ...], train: bool) -> Any:
        params, floating = moving
        state, leaves, context = still
        x = jax.tree.unflatten(structure, [floating.get(i, leaf) for i, leaf in enumerate(leaves)])
        y, new = apply(params, state, x, train=train, context=context)
        ys = [leaf for leaf in jax.tree.leaves(y) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in ys), (y, new)

    structure = jax.tree.structure(case.inputs(np.float64))
    gradient = jax.jit(
        jax.grad(loss, has_aux=True, allow_int=True), static_argnums=2
    )  # compiled once for all seeds and states

    def run(state: Any, seed: int = 0, train: bool = False) -> tuple[dict[str, Any], Any]:
        leaves = jax.tree.leaves(case.inputs(np.float64, seed))
        floating = {i: leaf for i, leaf in enumerate(leaves) if leaf.dtype.kind == "f"}
        still = (state, [None if i in floating else leaf for i, leaf in enumerate(leaves)], case.contexts(np.float64))
        (dparams, dx), (y, new) = gradient((params, floating), still, train)
        found = {f"y.{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(y))}
        found |= {f"dx.{i}": np.asarray(leaf) for i, leaf in dx.items()}
        return found | {f"dparams.{path}": leaf for path, leaf in by_path(dparams).items()}, new

    return run


def vectors(case: Case) -> dict[str, np.ndarray]:
    """What torch_side.vectors computes, by jseq."""
    params, state = case.trees()
    run = forward_and_backward(case, params)
    found, _ = run(state)
    if case.train:
        first, state = run(state, train=True)
        found |= {f"train.{name}": value for name, value in first.items()}
        for seed in (1, 2):
            _, state = run(state, seed, train=True)
        after, _ = run(state)
        found |= {f"state.{path}": value for path, value in by_path(state).items()}
        found |= {f"after.{name}": value for name, value in after.items()}
    return found


def compare(case: Case, torchs: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest error under each name, relative to the size of torch's numbers where they exceed 1."""
    with jax.enable_x64(True):
        ours = vectors(case)
    torchs = {name: value for name, value in torchs.items() if not name.startswith("init.")}
    assert sorted(ours) == sorted(torchs)
    errors: dict[str, float] = {}
    for name, expected in torchs.items():
        got = ours[name]
        assert got.shape == expected.shape, f"{name}: expected {expected.shape}, got {got.shape}"
        same = np.where(np.isnan(expected), np.isnan(got), got == expected)
        with np.errstate(invalid="ignore"):
            error = np.abs(got.astype(float) - expected) / np.maximum(1, np.abs(expected))
        errors[name] = float(np.where(same, 0, error).max(initial=0))
    return errors


def stored(family: str) -> dict[str, dict[str, np.ndarray]]:
    """The stored vectors of one family: by the case's torch call, then by name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    path = VECTORS / f"{family}.npz"
    if path.exists():
        with np.load(path) as file:
            for key in file.files:
                call, name = key.rsplit("|", 1)
                found.setdefault(call, {})[name] = file[key]
    return found


def identifier(case: Case) -> str:
    """What a stored case is called: it changes whenever the case does."""
    text = f"{case} = {case.torch} {case.torch_call} on {case.x} {case.context or ''}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
