"""torch: eager, compiled by `torch.compile`, and for images with channels-last memory."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import jobs, workloads

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_float32_matmul_precision("high")  # TF32 on NVIDIA GPUs, as JAX does there


def mlp(size: workloads.Mlp) -> nn.Module:
    *hidden, (a, b) = pairwise(size.features)
    return nn.Sequential(*[f for a, b in hidden for f in (nn.Linear(a, b), nn.ReLU())], nn.Linear(a, b))


class Cnn(nn.Module):
    def __init__(self, size: workloads.Cnn):
        super().__init__()
        a, b, c, d = size.channels
        self.features = nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(b, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU(),
            nn.Conv2d(c, d, 3, padding=1), nn.BatchNorm2d(d), nn.ReLU(), nn.AvgPool2d(2), nn.Dropout(size.p),
        )  # fmt: skip
        self.head = nn.Linear(d * (size.size // 4) ** 2, size.classes)

    def forward(self, x: Any) -> Any:
        return self.head(self.features(x).flatten(1))


class Attention(nn.Module):
    def __init__(self, d: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x: Any) -> Any:
        batch, time, d = x.shape
        q, k, v = (a.view(batch, time, self.heads, -1).transpose(1, 2) for a in self.qkv(x).split(d, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, time, d))


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return x + self.layers(x)


def feed(d: int, *after: nn.Module) -> nn.Module:
    return Residual(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d), *after)


class Gpt(nn.Module):
    def __init__(self, size: workloads.Gpt):
        super().__init__()
        d, p = size.features, size.p
        self.embed, self.place = nn.Embedding(size.vocabulary, d), nn.Embedding(size.length, d)
        blocks = [(Residual(nn.LayerNorm(d), Attention(d, size.heads), nn.Dropout(p)), feed(d, nn.Dropout(p)))
                  for _ in range(size.depth)]  # fmt: skip
        self.blocks = nn.Sequential(*[half for block in blocks for half in block])
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, size.vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Any) -> Any:
        x = self.embed(x) + self.place(torch.arange(x.shape[-1], device=x.device))
        return self.head(self.norm(self.blocks(x)))


def model_of(workload: str) -> nn.Module:
    size = workloads.size_of(workload)
    if isinstance(size, workloads.Chain):
        return nn.Sequential(*[feed(size.features) for _ in range(size.depth)])
    kinds = {workloads.Mlp: mlp, workloads.Cnn: Cnn, workloads.Gpt: Gpt}
    return kinds[type(size)](size)


def fill(model: nn.Module, layers: list[Any]) -> None:
    """Copies the values in: linear weights transposed, convolutions to (out, in, h, w)."""
    arrays: list[Any] = []
    for p in layers:
        if not isinstance(p, dict):
            arrays.append(p)  # an embedding
            continue
        w = p["weight"]
        arrays += [w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T, p["bias"]]
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def batch(workload: str, variant: str) -> tuple[Any, Any]:
    x, y = (torch.from_numpy(a).to(DEVICE) for a in workloads.batch_of(workload))
    if x.ndim == 4:
        x = x.permute(0, 3, 1, 2)  # of an array (n, h, w, c), so its memory is channels-last
        x = x if "channels-last" in variant else x.contiguous()
    return x, (y if y.is_floating_point() else y.long())


def objective(workload: str, y: Any) -> Any:
    return (
        F.mse_loss if workload.startswith("chain") else lambda out, y: F.cross_entropy(out.flatten(0, -2), y.flatten())
    )


def job(workload: str, variant: str) -> jobs.Job:
    torch.manual_seed(0)  # the masks of dropout, so that the first loss is the same in every run
    x, y = batch(workload, variant)
    if workload == "ensemble":
        return ensemble(x, y)
    model, loss = model_of(workload), objective(workload, y)
    fill(model, workloads.in_order(workload, fused=True, channels_first=True))
    model.to(DEVICE, memory_format=torch.channels_last if "channels-last" in variant else torch.preserve_format)
    optimiser = torch.optim.SGD(model.parameters(), workloads.RATE)
    trained = torch.compile(model) if "compile" in variant else model
    narrow = torch.autocast(DEVICE, torch.bfloat16, enabled="bf16" in variant)

    def step() -> Any:
        model.train()
        optimiser.zero_grad()
        with narrow:
            value = loss(trained(x), y)
        value.backward()
        optimiser.step()
        return value.detach()

    def forward() -> Any:
        model.eval()
        with torch.no_grad(), narrow:
            return trained(x)

    if workload == "vmap":
        state = {**dict(model.named_parameters()), **dict(model.named_buffers())}

        def forward() -> Any:
            model.eval()
            with torch.no_grad():
                return torch.vmap(lambda x: torch.func.functional_call(model, state, (x[None],)))(x)

    return replace(job_of(step, forward, model.parameters()), note="bfloat16" if "bf16" in variant else "")


def job_of(step: Any, forward: Any, parameters: Any) -> jobs.Job:
    return jobs.Job(
        step,
        forward,
        sum(p.numel() for p in parameters),
        None,
        synchronise,
        lambda result: result.detach().float().cpu().numpy(),
    )


def synchronise(result: Any) -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def ensemble(x: Any, y: Any) -> jobs.Job:
    """The members stacked and vmapped, as torch's tutorial on ensembles does."""
    size, members = workloads.WORKLOADS["ensemble"], []
    for values in workloads.values_of("ensemble"):
        members.append(mlp(size))
        fill(members[-1], values)
        members[-1].to(DEVICE)
    params, _ = torch.func.stack_module_state(members)
    optimiser = torch.optim.SGD(params.values(), workloads.RATE)

    def together(params: Any) -> Any:
        return torch.vmap(lambda p: torch.func.functional_call(members[0], p, (x,)))(params)

    def step() -> Any:
        optimiser.zero_grad()
        out = together(params)
        value = torch.vmap(lambda out: F.cross_entropy(out, y))(out).sum()
        value.backward()
        optimiser.step()
        return value.detach()

    def forward() -> Any:
        with torch.no_grad():
            return together(params)

    return job_of(step, forward, params.values())


def fresh(workload: str, jitted: bool) -> Any:
    """Makes a new model by a seed; torch draws its initial values eagerly."""

    def make(seed: int) -> Any:
        torch.manual_seed(seed)
        return model_of(workload)

    if jitted:
        raise NotImplementedError("torch does not compile initialisation")
    return make


VARIANTS = {
    "torch": ("*",),
    "torch compile": ("tiny_mlp", "mlp", "cnn", "transformer"),
    "torch bf16": workloads.NARROW,
    "torch compile bf16": workloads.NARROW,
    "torch channels-last": ("cnn",),
    "torch compile channels-last": ("cnn",),
}
