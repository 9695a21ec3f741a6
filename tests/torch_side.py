"""The same layers computed by torch in float64: what the parity tests hold jseq against.

Weights cross by `torch_state_dict` and `load_torch_state_dict`: torch computes with what the one writes, jseq with
what it was made from, so a weight that is moved wrongly gives other numbers.
"""

import time
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

import jseq
from tests.case import Case
from tests.initial import DRAWS, moments


def by_path(tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def input_to_torch(case: Case, value: np.ndarray) -> torch.Tensor:
    moved = np.moveaxis(value, -1, 1) if case.layout == "channels" and value.dtype.kind == "f" else value
    tensor = torch.from_numpy(np.ascontiguousarray(moved))
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def output_to_numpy(case: Case, value: torch.Tensor) -> np.ndarray:
    array = value.detach().numpy()
    return np.moveaxis(array, 1, -1) if case.layout == "channels" else array


def module_of(case: Case, xs: list[torch.Tensor], context: dict[str, torch.Tensor]) -> nn.Module:
    """Builds torch's module, with the case's own params and state in it."""
    torch.set_default_dtype(torch.float64)
    module: nn.Module = eval(case.torch, {"nn": nn, "torch": torch})
    if any(isinstance(p, nn.parameter.UninitializedTensorMixin) for p in module.parameters()):
        with torch.no_grad():
            call(case, module.eval(), xs, context)
    entries = jseq.torch_state_dict(case.layer, *case.trees())
    own = module.state_dict()
    assert sorted(own) == sorted(entries), f"torch has {sorted(own)}, jseq has {sorted(entries)}"
    for path, value in entries.items():
        assert tuple(own[path].shape) == value.shape, f"{path}: torch {tuple(own[path].shape)}, jseq {value.shape}"
    module.load_state_dict({path: torch.from_numpy(value) for path, value in entries.items()})
    return module


def call(case: Case, module: nn.Module, xs: list[torch.Tensor], context: dict[str, torch.Tensor]) -> Any:
    return eval(case.torch_call, {"module": module, "x": xs, "torch": torch, "nn": nn, **context})


def tensors(y: Any) -> list[torch.Tensor]:
    return [y] if isinstance(y, torch.Tensor) else [leaf for part in y for leaf in tensors(part)]


def forward_and_backward(case: Case, module: nn.Module, xs: list[torch.Tensor], context: Any) -> dict[str, np.ndarray]:
    """One call and the gradients of `sum(sin(y))`, in jseq's axes."""
    module.zero_grad()
    moving = [x.clone().requires_grad_(x.is_floating_point()) for x in xs]
    ys = tensors(call(case, module, moving, context))
    found = {f"y.{i}": output_to_numpy(case, y) for i, y in enumerate(ys)}
    floating = [y for y in ys if y.is_floating_point()]
    loss = sum(torch.sin(y).sum() for y in floating)
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
    for i, x in enumerate(moving):
        if x.is_floating_point():
            gradient = torch.zeros_like(x) if x.grad is None else x.grad
            found[f"dx.{i}"] = output_to_numpy(case, gradient)
    gradients = {path: torch.zeros_like(p) if p.grad is None else p.grad for path, p in module.named_parameters()}
    example = jax.tree.map(jax.numpy.asarray, case.inputs(np.float64))
    moved, _ = jseq.load_torch_state_dict(case.layer, module.state_dict() | gradients, example)
    return found | {f"dparams.{path}": gradient for path, gradient in by_path(moved).items()}


def vectors(case: Case) -> dict[str, np.ndarray]:
    """Everything that the parity test compares, by name."""
    context = {name: torch.from_numpy(np.array(v)) for name, v in (case.contexts(np.float64) or {}).items()}

    def inputs(seed: int) -> list[torch.Tensor]:
        return [input_to_torch(case, leaf) for leaf in jax.tree.leaves(case.inputs(np.float64, seed))]

    module = module_of(case, inputs(0), context)
    found = forward_and_backward(case, module.eval(), inputs(0), context)
    if case.train:
        module.train()
        found |= {f"train.{k}": v for k, v in forward_and_backward(case, module, inputs(0), context).items()}
        for seed in (1, 2):
            call(case, module, inputs(seed), context)
        buffers = {f"state.{path}": buffer.numpy() for path, buffer in module.named_buffers()}
        after = forward_and_backward(case, module.eval(), inputs(0), context)
        found |= buffers | {f"after.{k}": v for k, v in after.items()}
    return {name: np.array(value) for name, value in found.items()}


def initial(case: Case) -> dict[str, np.ndarray]:
    """The moments of torch's initial values: `init.<path>` for every parameter."""
    drawn: dict[str, list[np.ndarray]] = {}
    wanted, deadline = DRAWS, time.monotonic() + 8
    while wanted > 0:
        module: nn.Module = eval(case.torch, {"nn": nn, "torch": torch})
        for path, parameter in module.named_parameters():
            drawn.setdefault(path, []).append(parameter.detach().numpy().ravel().copy())
        if not drawn:
            return {}
        wanted = DRAWS - min(len(rows) * rows[0].size for rows in drawn.values())
        if time.monotonic() > deadline:  # large modules take long to build; fewer draws widen the tolerance
            break
    return {f"init.{path}": moments(np.concatenate(rows)) for path, rows in drawn.items()}
