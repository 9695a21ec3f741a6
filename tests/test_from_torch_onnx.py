"""Models that from_torch makes, written to ONNX: sums and products that repeat axes of size 1."""

import importlib.util

import numpy as np
import pytest

import jseq

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.test_from_torch_forwards import conv, written  # noqa: E402
from tests.test_onnx import run  # noqa: E402

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")), reason="onnx is not installed"
)


def gated(s, x):
    h = s.c(x)
    return h * torch.sigmoid(s.g(x)) + h.mean((2, 3), keepdim=True)


def test_axes_of_size_1_are_repeated():
    module = written(gated, c=conv(), g=nn.Conv2d(4, 1, 1)).eval()
    x = torch.randn(2, 4, 6, 6)
    exported = jseq.to_onnx(*jseq.from_torch(module), x.numpy())
    (y,) = run(exported, {"x": x.numpy()})
    np.testing.assert_allclose(y, module(x).detach().numpy(), rtol=1e-5, atol=1e-5)
