"""The table from torch to jseq is complete and true."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jseq
from tests import torch_names, torch_table

NAMED = torch_names.SEQUENTIAL + torch_names.SEVERAL


def test_there_are_102_layers_that_stand_in_a_sequential():
    assert len(torch_names.SEQUENTIAL) == len(set(torch_names.SEQUENTIAL)) == 102


@pytest.mark.parametrize("name", NAMED)
def test_every_name_has_a_layer_held_against_it(name):
    assert torch_table.jseq_call(name)
    assert torch_table.cases_of(name) or name in torch_names.BY_HAND


def test_the_page_is_what_the_cases_say():
    assert torch_table.PAGE.read_text() == torch_table.page(), "run `python -m tests.torch_table --page`"


def arguments():
    random = np.random.RandomState(0)
    x, y, p = (random.standard_normal((6, 4)) for _ in range(3))
    softmax = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    ids = random.randint(0, 4, 6)
    return {
        "x": x, "y": y, "p": 1 / (1 + np.exp(-p)), "q": softmax[::-1].copy(), "logp": np.log(softmax), "ids": ids,
        "t": random.randint(0, 2, (6, 4)).astype(float), "s": random.choice([-1.0, 1.0], 6), "d": np.abs(y[:, 0]),
        "v": np.abs(p) + 0.1, "x_ids": np.take_along_axis(x, ids[:, None], -1),
    }  # fmt: skip


def test_a_wrapper_does_not_stand_for_the_module_of_the_layer_inside_it():
    assert torch_table.jseq_call("Linear") == "jseq.linear(in_features, out_features, bias=True)"


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # of KLDivLoss, about a default to come
@pytest.mark.parametrize("name", torch_names.LOSSES)
def test_losses_are_what_the_table_says(name):
    names = {"jax": jax, "jnp": jnp, "optax": optax, "cos": jseq.functional.cosine_similarity,
             "dist": jseq.functional.pairwise_distance}  # fmt: skip
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        ours = float(eval(torch_names.LOSSES[name], names | {k: jnp.asarray(v) for k, v in arguments().items()}))
    assert np.isfinite(ours)
    if importlib.util.find_spec("torch") is not None:
        import torch

        tensors = {k: torch.from_numpy(np.array(v)) for k, v in arguments().items()}
        given = torch_names.LOSS_ARGUMENTS.get(name, "x, y")
        theirs = eval(f"torch.nn.{name}()({given})", {"torch": torch, **tensors})
        assert ours == pytest.approx(float(theirs), abs=1e-10)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_no_module_of_torch_is_missing_from_the_table():
    from torch import nn

    modules = {
        name for name in dir(nn) if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    known = {*NAMED, *torch_names.CONTAINERS, *torch_names.LOSSES, *torch_names.OTHER_LOSSES}
    assert sorted(name for name in modules - known if not name.startswith("Lazy")) == []
