"""Real architectures of public layers: shapes, gradients, printed trees, and ResNet-18 held against torch."""

import importlib.util
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from tests.everyday import slow_but_for

PATH = Path(__file__).resolve().parent.parent / "examples" / "architectures.py"
SPEC = importlib.util.spec_from_file_location("architectures", PATH)
assert SPEC is not None and SPEC.loader is not None
A = importlib.util.module_from_spec(SPEC)
sys.modules["architectures"] = A
SPEC.loader.exec_module(A)

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).normal(size=(2, 16, 16, 8)).astype(np.float32)
USERS_AND_ITEMS = (jnp.ones((5, 3)), jnp.ones((5, 4)))

BUILT = {
    "resnet18": (A.resnet18(10, 4), jax.random.normal(KEY, (2, 32, 32, 3)), (2, 10)),
    "bottleneck": (A.bottleneck(8, 4, 2), IMAGES, (2, 8, 8, 16)),
    "bottleneck of one size": (A.bottleneck(8, 2), IMAGES, (2, 16, 16, 8)),
    "inception": (A.inception(8, 3), IMAGES, (2, 16, 16, 12)),
    "dense block": (A.dense_block(8, 3, 3), IMAGES, (2, 16, 16, 17)),
    "unet": (A.unet(8, (4, 6, 8), 2), IMAGES, (2, 16, 16, 2)),
    "two towers": (A.two_towers(3, 4, 8), USERS_AND_ITEMS, (5, 1)),
    "transformer": (A.transformer(11, 6, 8, 2, 3), jnp.arange(12).reshape(2, 6) % 11, (2, 6, 11)),
}


@pytest.mark.parametrize("name", slow_but_for(lambda name: name not in ("resnet18", "transformer", "unet"), BUILT))
def test_the_architecture_has_its_shape_and_finite_gradients_under_jit(name):
    model, x, shape = BUILT[name]
    init, apply = jseq.with_state(model)
    params, state = jax.jit(init)(KEY, x)

    @jax.jit
    def loss_and_gradient(params):
        def loss(params):
            y, new = apply(params, state, x, train=True)
            return jnp.mean((y - 1) ** 2), (y, new)

        return jax.value_and_grad(loss, has_aux=True)(params)

    (loss, (y, new)), gradient = loss_and_gradient(params)
    assert y.shape == shape and jnp.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient))
    assert jax.tree.structure(new) == jax.tree.structure(state)


@pytest.mark.parametrize("name", BUILT)
def test_the_architecture_is_a_value(name):
    model = BUILT[name][0]
    assert eval(repr(model), {"jseq": jseq, "jax": jax}) == model
    assert jseq.from_config(jseq.to_config(model)) == model


def test_a_u_net_carries_its_skips_across_depth():
    """What only the skip can carry: with all below set to zero, the output still depends on the image."""
    model, x, _ = BUILT["unet"]
    params, state = jseq.with_state(model).init(KEY, x)
    params[0]["fork"]["below"] = jax.tree.map(jnp.zeros_like, params[0]["fork"]["below"])
    y, _ = jax.jit(jseq.with_state(model).apply)(params, state, x)
    assert np.ptp(np.asarray(y)) > 1e-3


def test_a_dense_block_keeps_its_input_in_front():
    model, x, _ = BUILT["dense block"]
    params, state = jseq.with_state(model).init(KEY, x)
    y, _ = jseq.with_state(model).apply(params, state, x)
    np.testing.assert_array_equal(y[..., :8], x)


def test_resnet18_has_as_many_params_as_torchvisions():
    params, _ = jax.eval_shape(lambda: jseq.with_state(A.resnet18()).init(KEY))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 11_689_512  # torchvision.models.resnet18


def test_the_u_net_prints_its_levels():
    lines = [line for line in str(A.unet(3, (8, 16), 2)).splitlines() if "conv2d" not in line and "norm" not in line]
    expected = """\
sequential(
  (0): sequential(
    (enter): sequential(
      (0): sequential(
        (act): relu()
      )
      (1): sequential(
        (act): relu()
      )
    )
    (fork): branch(
      (skip): identity()
      (below): sequential(
        (0): max_pool2d(kernel_size=2, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False)
        (1): sequential(
          (0): sequential(
            (act): relu()
          )
          (1): sequential(
            (act): relu()
          )
        )
        (2): conv_transpose2d(in_channels=16, out_channels=8, kernel_size=2, stride=2, padding=0, output_padding=0, \
groups=1, bias=True, dilation=1, padding_mode='zeros')
      )
    )
    (join): concatenate(axis=-1)
    (leave): sequential(
      (act): relu()
    )
  )
)"""
    assert "\n".join(lines) == expected


def test_the_transformer_prints_one_block():
    expected = """\
repeat(n=3,
  (layer): sequential(
    (attend): residual(
      (layer): sequential(
        (0): layer_norm(normalized_shape=8, eps=1e-05, elementwise_affine=True, bias=True)
        (1): multihead_attention(embed_dim=8, num_heads=2, dropout=0.0, bias=True, add_bias_kv=False, \
add_zero_attn=False, kdim=None, vdim=None, is_causal=True)
      )
    )
    (feed): residual(
      (layer): sequential(
        (0): layer_norm(normalized_shape=8, eps=1e-05, elementwise_affine=True, bias=True)
        (1): sequential(
          (0): linear(in_features=8, out_features=32, bias=True)
          (1): gelu(approximate='none')
          (2): linear(in_features=32, out_features=8, bias=True)
        )
      )
    )
  )
)"""
    assert str(A.transformer(11, 6, 8, 2, 3)["blocks"]) == expected


def torchs_resnet18(width, classes):
    """ResNet-18 written for torch, with torchvision's names, and no look at ours."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inside, outside, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outside)
            self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outside)
            down = [nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)]
            self.downsample = nn.Sequential(*down) if stride != 1 else nn.Identity()

        def forward(self, x):
            y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            return (y + self.downsample(x)).relu()

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            for i in range(4):
                inside, outside = width * 2 ** max(i - 1, 0), width * 2**i
                blocks = nn.Sequential(Block(inside, outside, 1 + (i > 0)), Block(outside, outside, 1))
                setattr(self, f"layer{i + 1}", blocks)
            self.fc = nn.Linear(8 * width, classes)

        def forward(self, x):
            x = self.maxpool(self.bn1(self.conv1(x)).relu())
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    return ResNet()


# Our paths to torchvision's, rule by rule.
NAMES = [
    (r"^stem\.conv", "conv1"),
    (r"^stem\.norm", "bn1"),
    (r"^head", "fc"),
    (r"\.0\.layer\.0\.conv", ".conv1"),
    (r"\.0\.layer\.0\.norm", ".bn1"),
    (r"\.0\.layer\.1\.conv", ".conv2"),
    (r"\.0\.layer\.1\.norm", ".bn2"),
    (r"\.0\.shortcut\.conv", ".downsample.0"),
    (r"\.0\.shortcut\.norm", ".downsample.1"),
]


def torchs_name(path):
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def test_resnet18_computes_what_torchs_does():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torchs_resnet18(4, 10).double()
    for buffer in theirs.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    taken = []

    def take(path, leaf):
        name = torchs_name(path)
        value = theirs.state_dict()[name].detach().numpy()
        taken.append(name)
        moved = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T if value.ndim == 2 else value
        assert moved.shape == leaf.shape, name
        return jnp.asarray(moved, leaf.dtype)

    model = A.resnet18(10, 4)
    x = np.random.default_rng(0).normal(size=(2, 3, 64, 64))
    with jax.enable_x64(True):
        shapes = jax.eval_shape(lambda: jseq.with_state(model).init(KEY))
        params, state = jax.tree_util.tree_map_with_path(lambda path, leaf: take(path[1:], leaf), shapes)
        apply = jax.jit(jseq.with_state(model).apply, static_argnames="train")
        images = jnp.asarray(x.transpose(0, 2, 3, 1))
        for train, tolerance in ((False, 1e-10), (True, 1e-8)):
            y, _ = apply(params, state, images, train=train)
            np.testing.assert_allclose(y, theirs.train(train)(torch.from_numpy(x)).detach(), atol=tolerance)
    assert sorted(taken) == sorted(theirs.state_dict())
