"""Weight norm and spectral norm have torch's numbers, live where torch is installed."""

import importlib.util

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

live = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


def loss(model, x):
    return lambda params: jnp.sum(jnp.sin(model.apply(params, x)))


LAYERS = {
    "linear": (jseq.linear(5, 3), "nn.Linear(5, 3)", (6, 5), lambda w: w.T),
    "conv2d": (jseq.conv2d(4, 3, 3), "nn.Conv2d(4, 3, 3)", (2, 7, 6, 4), lambda w: np.transpose(w, (2, 3, 1, 0))),
}


def torch_side(kind, wrap):
    """A torch module in float64 with the wrapper around it, the same x on both sides, and the way of its weights."""
    import torch

    layer, source, shape, move = LAYERS[kind]
    torch.manual_seed(0)
    module = wrap(eval(source, {"nn": torch.nn}).double())
    x = np.random.RandomState(0).standard_normal(shape)
    channels_first = np.moveaxis(x, -1, 1) if kind == "conv2d" else x
    return layer, module, x, torch.from_numpy(np.ascontiguousarray(channels_first)), move


def last(y):
    y = y.detach().numpy()
    return np.moveaxis(y, 1, -1) if y.ndim == 4 else y


@live
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dim", [0, None])
def test_weight_norm_has_torchs_values_and_gradients(kind, dim):
    import torch

    wrap = lambda m: torch.nn.utils.parametrizations.weight_norm(m, dim=dim)  # noqa: E731
    layer, module, x, theirs, move = torch_side(kind, wrap)
    g, v = module.parametrizations.weight.original0, module.parametrizations.weight.original1
    with torch.no_grad():
        g.mul_(1.5)
    with jax.enable_x64(True):
        model = jseq.weight_norm(layer, dim=None if dim is None else -1)
        length = move(g.detach().numpy()) if dim == 0 else g.detach().numpy().reshape((1,) * v.ndim)
        params = {"weight_g": jnp.asarray(length), "weight_v": jnp.asarray(move(v.detach().numpy())),
                  "bias": jnp.asarray(module.bias.detach().numpy())}  # fmt: skip
        y = module(theirs)
        torch.sin(y).sum().backward()
        np.testing.assert_allclose(model.apply(params, jnp.asarray(x)), last(y), rtol=1e-10, atol=1e-10)
        gradient = jax.grad(loss(model, jnp.asarray(x)))(params)
        np.testing.assert_allclose(gradient["weight_g"].ravel(), g.grad.numpy().ravel(), rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(gradient["weight_v"], move(v.grad.numpy()), rtol=1e-9, atol=1e-10)


@live
@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm_has_torchs_numbers_over_training_steps(kind):
    import torch

    wrap = lambda m: torch.nn.utils.parametrizations.spectral_norm(m, n_power_iterations=2)  # noqa: E731
    layer, module, x, theirs, move = torch_side(kind, wrap)
    weight, vectors = module.parametrizations.weight.original, module.parametrizations.weight[0]

    def across(v):
        """torch flattens (in, h, w), jseq (h, w, in)."""
        return move(np.broadcast_to(v.reshape(1, *weight.shape[1:]), weight.shape))[..., 0].ravel()

    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    with jax.enable_x64(True):
        _, apply = jseq.with_state(jseq.spectral_norm(layer, n_power_iterations=2))
        arrays = {"weight": move(weight.detach().numpy()), "bias": module.bias.detach().numpy()}
        params = {"layer": jax.tree.map(lambda a: jnp.asarray(np.array(a)), arrays), "spectral": ()}
        uv = {"u": jnp.array(vectors._u.numpy()), "v": jnp.array(across(vectors._v.numpy()))}
        state = {"layer": (), "spectral": uv}

        def step(params, state):
            y, new = apply(params, state, jnp.asarray(x), train=True)
            return jnp.sum(jnp.sin(y)), (y, new)

        for _ in range(4):
            optimiser.zero_grad()
            y = module(theirs)
            torch.sin(y).sum().backward()
            optimiser.step()
            gradient, (ours, state) = jax.grad(step, has_aux=True)(params, state)
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
            np.testing.assert_allclose(ours, last(y), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(params["layer"]["weight"], move(weight.detach().numpy()), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(state["spectral"]["u"], vectors._u.numpy(), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(state["spectral"]["v"], across(vectors._v.numpy()), rtol=1e-9, atol=1e-9)
        evaluated, same = apply(params, state, jnp.asarray(x))
        np.testing.assert_allclose(evaluated, last(module.eval()(theirs)), rtol=1e-9, atol=1e-9)
        chex.assert_trees_all_equal(same, state)
