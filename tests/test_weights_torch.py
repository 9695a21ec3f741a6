"""State dicts of torch's own modules are read and written, where torch is installed."""

from collections import OrderedDict

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, FileError
from tests.cases import VARIANTS
from tests.state_dicts import TIED, cases_of, shapes

torch = pytest.importorskip("torch")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch speaks of its own speed and of defaults to come
@pytest.mark.parametrize("name", sorted({case.layer.name for case in VARIANTS if case.torch}))
def test_the_state_dict_of_the_module_that_a_layer_equals_is_read(name):
    from tests import torch_side

    for case in cases_of(name):
        if case.torch:
            context = {key: torch.from_numpy(np.array(v)) for key, v in (case.contexts(np.float64) or {}).items()}
            xs = [torch_side.input_to_torch(case, x) for x in jax.tree.leaves(case.inputs(np.float64))]
            with jax.enable_x64(True):
                module = torch_side.module_of(case, xs, context)  # asserts that names and shapes are equal
                example = jax.tree.map(jnp.asarray, case.inputs(np.float64))
                read = jseq.load_torch_state_dict(case.layer, module.state_dict(), example)
                chex.assert_trees_all_equal(read, case.trees())


BUILT = {
    "cnn": (
        "nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, groups=2), "
        "nn.ConvTranspose2d(6, 4, 3, groups=2))",
        jseq.channels_first(jseq.sequential(
            jseq.conv2d(3, 4, 3), jseq.batch_norm(4), jseq.relu(), jseq.conv2d(4, 6, 3, 2, groups=2),
            jseq.conv_transpose2d(6, 4, 3, groups=2),
        )), (2, 3, 9, 8),
    ),
    "named": (
        "nn.Sequential(OrderedDict(fc1=nn.Linear(5, 4), act=nn.PReLU(), head=nn.Sequential(nn.Linear(4, 2))))",
        jseq.sequential({"fc1": jseq.linear(5, 4), "act": jseq.prelu(), "head": jseq.sequential(jseq.linear(4, 2))}),
        (3, 5),
    ),
    "encoder": (
        "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2)",
        jseq.transformer_encoder(jseq.transformer_encoder_layer(8, 2, 12), 2), (2, 5, 8),
    ),
    "weight norm": ("P.weight_norm(nn.Linear(5, 3))", jseq.weight_norm(jseq.linear(5, 3)), (4, 5)),
    "weight norm of all": (
        "P.weight_norm(nn.Conv1d(4, 3, 2), dim=None)",
        jseq.channels_first(jseq.weight_norm(jseq.conv1d(4, 3, 2), dim=None), 1), (2, 4, 7),
    ),
    "weight norm of inputs": (
        "P.weight_norm(nn.ConvTranspose2d(4, 3, 2))",
        jseq.channels_first(jseq.weight_norm(jseq.conv_transpose2d(4, 3, 2), dim=-2)), (2, 4, 7, 6),
    ),
    "older weight norm": (
        "nn.utils.weight_norm(nn.Conv2d(4, 3, 2))", jseq.channels_first(jseq.weight_norm(jseq.conv2d(4, 3, 2))),
        (2, 4, 7, 6),
    ),
    "older weight norm of all": (
        "nn.utils.weight_norm(nn.Linear(5, 3), dim=None)", jseq.weight_norm(jseq.linear(5, 3), dim=None), (4, 5),
    ),
    "weight norm deep inside": (
        "nn.Sequential(nn.Linear(5, 4), P.weight_norm(nn.Linear(4, 3)))",
        jseq.weight_norm(jseq.sequential(jseq.linear(5, 4), jseq.linear(4, 3)), "1.weight"), (4, 5),
    ),
    "spectral norm": (
        "nn.Sequential(P.spectral_norm(nn.Conv2d(4, 3, 2)), P.spectral_norm(nn.ConvTranspose2d(3, 5, 2)))",
        jseq.channels_first(jseq.sequential(
            jseq.spectral_norm(jseq.conv2d(4, 3, 2)), jseq.spectral_norm(jseq.conv_transpose2d(3, 5, 2)),
        )), (2, 4, 7, 6),
    ),
    "older spectral norm": (
        "nn.utils.spectral_norm(nn.Conv2d(4, 3, (2, 3)))",
        jseq.channels_first(jseq.spectral_norm(jseq.conv2d(4, 3, (2, 3)))), (2, 4, 7, 6),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # torch speaks of the older norms and of its own speed
@pytest.mark.parametrize("name", BUILT)
def test_a_module_of_torch_is_read_and_written(name):
    from torch import nn
    from torch.nn.utils import parametrizations as P

    source, model, shape = BUILT[name]
    torch.manual_seed(0)
    module = eval(source, {"nn": nn, "P": P, "OrderedDict": OrderedDict}).double()
    x = np.random.RandomState(0).standard_normal(shape)
    module.train()(torch.from_numpy(x))  # moves running statistics and the vectors of spectral norm
    entries = module.eval().state_dict()
    with jax.enable_x64(True):
        params, state = jseq.load_torch_state_dict(model, entries)
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(params))
        y, _ = jseq.with_state(model).apply(params, state, jnp.asarray(x))
    np.testing.assert_allclose(y, module(torch.from_numpy(x)).detach().numpy(), rtol=1e-10, atol=1e-10)
    written = jseq.torch_state_dict(model, params, state)
    if not name.startswith("older"):
        assert shapes(written) == shapes(entries)
        for entry, value in entries.items():
            np.testing.assert_array_equal(written[entry], value.numpy())
        module.load_state_dict({entry: torch.from_numpy(value) for entry, value in written.items()})


def test_spectral_norm_takes_the_same_training_step_after_it_was_read():
    from torch.nn.utils import parametrizations as P

    module = P.spectral_norm(torch.nn.Conv2d(4, 3, (2, 3)).double())
    model = jseq.channels_first(jseq.spectral_norm(jseq.conv2d(4, 3, (2, 3))))
    with jax.enable_x64(True):
        params, state = jseq.load_torch_state_dict(model, module.state_dict())
        x = np.random.RandomState(0).standard_normal((2, 4, 7, 6))
        _, state = jseq.with_state(model).apply(params, state, jnp.asarray(x), train=True)
    module.train()(torch.from_numpy(x))
    written = jseq.torch_state_dict(model, params, state)
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(written[name], value.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float8_e4m3fn", "float8_e5m2"])
def test_tensors_of_every_floating_dtype_are_read(dtype):
    module = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3)).to(getattr(torch, dtype))
    model = jseq.sequential(jseq.linear(5, 3), jseq.batch_norm(3))
    params, state = jseq.load_torch_state_dict(model, module.state_dict())
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {dtype}
    assert state[1]["num_batches_tracked"].dtype == jnp.int32
    ours, theirs = np.asarray(params[0]["weight"].T, np.float32), module[0].weight.detach().float().numpy()
    np.testing.assert_array_equal(ours, theirs)


def test_a_tied_module_of_torch_is_read():
    module = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(7, 5), "head": torch.nn.Linear(5, 7)}).float()
    module["head"].weight = module["embedding"].weight
    params, _ = jseq.load_torch_state_dict(TIED, module.state_dict())
    assert shapes(jseq.torch_state_dict(TIED, params)) == shapes(module.state_dict())
    np.testing.assert_array_equal(params["embedding"]["weight"], module["head"].weight.detach().numpy())


def test_a_module_is_no_state_dict():
    with pytest.raises(CallError, match=r"got Linear. The call that works: .*\(model, module.state_dict\(\)\)"):
        jseq.load_torch_state_dict(jseq.linear(3, 2), torch.nn.Linear(3, 2))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_save_is_named_and_the_call_it_names_works(tmp_path, zipped):
    path, module = tmp_path / "net.pt", torch.nn.Linear(3, 2).float()
    torch.save(module.state_dict(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(FileError, match=r"is a file of torch.save, .*torch.load\(.*, weights_only=True\); ") as caught:
        jseq.load_torch_state_dict(jseq.linear(3, 2), path)
    call = str(caught.value).partition("state_dict = ")[2].partition(";")[0]
    params, _ = jseq.load_torch_state_dict(jseq.linear(3, 2), eval(call, {"torch": torch}))
    np.testing.assert_array_equal(params["weight"].T, module.weight.detach().numpy())
