"""torch, eager: what is timed, and the mistakes."""

from typing import Any

import torch
from torch import nn

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import torch as program

CHANNELS_FIRST = True
COMPILES = False
torch.manual_seed(0)
LAYERS = {"params": "6.weight"}


def arrays(b: Batch) -> Batch:
    return Batch(*(torch.from_numpy(a) for a in b))._replace(y=torch.from_numpy(b.y).long())


def start() -> tuple[Any, Any]:
    model = program.make_model()
    return model, torch.optim.Adam(model.parameters(), lr=1e-3)


def job(b: Batch) -> jobs.Job:
    model, optimizer = start()
    parameters = sum(p.numel() for p in model.parameters())
    step, forward = (lambda: program.train_step(model, optimizer, b.x, b.y)), (lambda: program.evaluate(model, b.x))
    return jobs.Job(step, forward, parameters, wait=lambda result: None)


def size(b: Batch) -> None:
    program.evaluate(program.make_model(), b.small)


def axes(b: Batch) -> None:
    program.evaluate(program.make_model(), b.swapped)


def train(b: Batch) -> None:
    model, optimizer = start()
    model.eval()
    program.loss_fn(model(b.x), b.y).backward()
    optimizer.step()


def evaluate(b: Batch) -> None:
    with torch.no_grad():
        program.make_model()(b.x)


def params(b: Batch) -> None:
    model = program.make_model()
    model.load_state_dict(model[:-1].state_dict())


def channels(b: Batch) -> None:
    model, optimizer = start()
    model[1] = nn.BatchNorm2d(64)
    program.train_step(model, optimizer, b.x, b.y)


MISTAKES = {f.__name__: f for f in (size, axes, train, evaluate, params, channels)}
CANNOT = {"key": "it draws from a generator of the whole process"}
