"""from_torch of functions whose arrays differ in size, and of resizing."""

import jax.numpy as jnp
import pytest

import jseq
from jseq.errors import ShapeError

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from tests.test_from_torch import equal, float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402

RESIZED = {
    "a factor": lambda s, x: F.interpolate(s.c(x), scale_factor=2),
    "a size": lambda s, x: F.interpolate(s.c(x), size=(9, 7)),
    "a bilinear factor": lambda s, x: F.interpolate(s.c(x), scale_factor=2, mode="bilinear", align_corners=True),
    "a bilinear size": lambda s, x: F.interpolate(s.c(x), (5, 11), mode="bilinear", antialias=False),
    "a sequence": lambda s, x: F.interpolate(s.c(x).flatten(2), scale_factor=2.0),
    "a line": lambda s, x: F.interpolate(s.c(x).flatten(2), size=20, mode="linear"),
}


@pytest.mark.parametrize("name", RESIZED)
def test_interpolation_is_torchs(name):
    agrees(written(RESIZED[name], c=conv()), image())


def test_interpolation_that_is_not_known_is_refused():
    smooth = written(lambda s, x: F.interpolate(s.c(x), scale_factor=0.5, mode="bilinear", antialias=True), c=conv())
    refused(smooth, r"step 'interpolate': arguments \['antialias'\] are not converted")
    twice = written(lambda s, x: F.interpolate(s.c(x), size=x.shape[2:], antialias=True, mode="bilinear"), c=conv())
    refused(twice, r"interpolate to .* with \['antialias'\] is not converted; to one size per axis is")


def excited(s, x):
    x = s.c(x)
    y = x.mean((2, 3))
    return x * torch.sigmoid(s.l(y)).unsqueeze(-1).unsqueeze(-1)


def arithmetic(s, x):
    y = s.f(F.adaptive_avg_pool2d(x, 1))
    return ((y - x) / (2 + y.abs()) + y).sub(x.mean((2, 3), keepdim=True))


def in_place(s, x):
    h = s.c(x)
    h *= torch.sigmoid(s.f(F.adaptive_avg_pool2d(h, 1)))
    return h


CHANNELS = nn.Sequential(nn.Conv2d(4, 1, 1), nn.Sigmoid())
BROADCAST = {
    "squeeze and excitation": (lambda s, x: x * torch.sigmoid(s.f(F.adaptive_avg_pool2d(x, 1))), {}),
    "from a linear layer": (excited, {"l": nn.Linear(4, 4)}),
    "by a view": (lambda s, x: s.l(s.c(x).mean((2, 3))).view(-1, 4, 1, 1) * x, {"l": nn.Linear(4, 4)}),
    "over channels": (lambda s, x: s.c(x) * s.g(x), {"g": CHANNELS}),
    "both ways": (lambda s, x: s.g(x) * F.adaptive_avg_pool2d(s.c(x), 1), {"g": CHANNELS}),
    "sums and quotients": (arithmetic, {}),
    "in place": (in_place, {}),
}


@pytest.mark.parametrize("name", BROADCAST)
def test_axes_of_size_1_are_repeated(name):
    forward, children = BROADCAST[name]
    module = written(forward, c=conv(), f=nn.Conv2d(4, 4, 1), **children)
    agrees(module, image())
    x = image().double()
    converted = jseq.from_torch(module)
    assert jseq.from_config(jseq.to_config(converted[0])) == converted[0]
    back = jseq.to_torch(*converted)
    with torch.no_grad():
        equal(back.eval()(x).numpy(), module(x.clone()), 1e-10)


def test_arrays_of_other_sizes_are_refused():
    module = written(lambda s, x: x * s.c(x).mean((2, 3)), c=conv())
    with pytest.raises(RuntimeError, match="must match the size"):
        module(image())
    model, params, _ = jseq.from_torch(module)
    with pytest.raises(ShapeError, match=r'"mul": expected arrays of one dtype .*, each of one size .* got'):
        model.apply(params, jnp.ones((2, 4, 6, 6)))
    model, params, _ = jseq.from_torch(written(lambda s, x: s.f(x) * x, f=nn.Linear(4, 3)))
    with pytest.raises(ShapeError, match=r'"mul": expected arrays of one dtype .*, each of one size .* got'):
        model.apply(params, jnp.ones((2, 4)))
    model, params, _ = jseq.from_torch(written(lambda s, x, y: s.f(x) + y, f=nn.Linear(4, 3)))
    with pytest.raises(ShapeError, match=r'"add": expected arrays of one dtype with as many axes'):
        model.apply(params, (jnp.ones((2, 4)), jnp.ones(3)))
