"""What a user of torch may write here: each mistake is named, with the call that works. Torch is not needed."""

import copy
import pickle
import re

import jax
import numpy as np
import pytest

import jseq
from jseq._core.torch_habits import same_name
from tests import torch_names, torch_table


def torch_like(kind, name, module="torch.nn.modules.module", bases=(object,)):
    """A class, or a function, that says that it is torch's."""
    made = kind(name, bases, {}) if kind is type else lambda x: x
    made.__module__, made.__name__ = module, name
    return made


MODULE = torch_like(type, "Module")
LINEAR = torch_like(type, "Linear", "torch.nn.modules.linear", (MODULE,))
OWN = type("MyBlock", (MODULE,), {"__call__": lambda self, x: x})  # a class of the user's


def test_torchs_names_are_found():
    for name in {*torch_names.SEQUENTIAL, *torch_names.SEVERAL} - torch_names.BY_HAND.keys():
        ours = torch_table.jseq_call(name).removeprefix("jseq.").partition("(")[0]
        # the page has AdaptiveAvgPool2d(1), which is a layer of its own
        assert same_name(name, vars(jseq)) == ours.replace("global", "adaptive"), name


@pytest.mark.parametrize(("value", "text"), [
    (LINEAR(), "sequential: Linear is a torch module, which computes on torch's tensors. The call that works: model, "
               "params, state = jseq.from_torch(module); a new layer is jseq.linear(in_features, out_features, "
               "bias=True, *, weight_init=None, bias_init=None)."),
    (OWN(), "sequential: MyBlock is a torch module, which computes on torch's tensors. The call that works: "
            "model, params, state = jseq.from_torch(module)."),
    (LINEAR, "sequential: Linear is a class of torch modules. The call that works: jseq.linear(in_features, "),
    (OWN, "sequential: MyBlock is a class of torch modules. The call that works: jseq.from_torch(module)."),
    (torch_like(None, "relu", "torch.nn.functional"), "sequential: relu is a function of torch, which computes on "
     "torch's tensors. Write a layer of jseq or a function of jax: jseq.relu() or jax.nn.relu."),
    (torch_like(None, "erfinv", "torch"), "a function of jax: jseq.relu() or jax.nn.relu, for example."),
], ids=["module", "own module", "class", "own class", "function", "other function"])  # fmt: skip
def test_what_is_torchs_is_refused_at_construction(value, text):
    with pytest.raises(jseq.errors.CallError, match=re.escape(text)):
        jseq.sequential(jseq.linear(4, 4), value)
    with pytest.raises(jseq.errors.CallError, match=re.escape(text.removeprefix("sequential"))):
        jseq.residual(value)


def test_what_only_sounds_like_torch_is_lifted():
    function = torch_like(None, "relu", "torchlike.nn")
    assert jseq.sequential(function)[0] == jseq.lift(function)
    block = type("Module", (), {"__call__": lambda self, x: x})()  # a callable of the user's, of the same name
    assert jseq.sequential(block)[0] == jseq.lift(block)


@pytest.mark.parametrize("head", [b"PK\x03\x04" + 26 * b"\0" + b"net/data.pkl", b"\x80\x02\x8a\nl\xfc"])
def test_a_file_of_torchs_is_named(tmp_path, head):
    path = tmp_path / "net.pt"
    path.write_bytes(head + 100 * b"\0")
    for read in (jseq.load, lambda path: jseq.load_torch_state_dict(jseq.linear(4, 8), path)):
        with pytest.raises(jseq.errors.FileError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path} is a file of torch.save, no safetensors file. The calls that work: state_dict = "
            f"torch.load({str(path)!r}, weights_only=True); jseq.load_torch_state_dict(model, state_dict)."
        )


def test_a_file_of_numpys_is_not_taken_for_torchs(tmp_path):
    np.savez(tmp_path / "net.npz", weight=np.zeros(3))
    with pytest.raises(jseq.errors.FileError, match="is damaged, or no safetensors file"):
        jseq.load(tmp_path / "net.npz")


@pytest.mark.parametrize("name", ["state_dict", "model", "model_state_dict"])
def test_the_state_dict_in_a_checkpoint_is_found(name):
    model = jseq.linear(4, 8)
    entries = jseq.torch_state_dict(model, model.init(jax.random.key(0)))
    optimiser = {"state": {0: {"step": np.ones(())}}, "param_groups": [{"lr": 0.1}]}
    call = f"The call that works: jseq.load_torch_state_dict(model, state_dict[{name!r}])."
    with pytest.raises(jseq.errors.ParamsError, match=f"'{name}' is a state dict itself. {re.escape(call)}$"):
        jseq.load_torch_state_dict(model, {"optimizer": optimiser, name: entries, "epoch": 3})


@pytest.mark.parametrize(("name", "text"), [
    ("Linear", "jseq has no 'Linear'. Its name here is jseq.linear."),
    ("Conv2d", "jseq has no 'Conv2d'. Its name here is jseq.conv2d."),
    ("ReLU", "jseq has no 'ReLU'. Its name here is jseq.relu."),
    ("batch_norm2d", "jseq has no 'batch_norm2d'. Its name here is jseq.batch_norm."),
    ("sequental", "jseq has no 'sequental'. Did you mean 'sequential'?"),
    ("nn", "jseq has no 'nn'. The layers are names of jseq itself, such as jseq.linear; plain functions are in "
           "jseq.functional."),
    ("Quux", "jseq has no 'Quux'."),
    ("__path_to__", "module 'jseq' has no attribute '__path_to__'"),
])  # fmt: skip
def test_a_name_that_jseq_has_not_is_answered_with_its_own(name, text):
    with pytest.raises(AttributeError, match=f"^{re.escape(text)}$"):
        getattr(jseq, name)
    assert not hasattr(jseq, name)


@pytest.mark.parametrize(("name", "call"), [
    ("parameters", "params = model.init(jax.random.key(0)); jax.tree.leaves(params)."),
    ("train", "y = model.apply(params, x, key=key, train=True)."),
    ("eval", "y = model.apply(params, x), which evaluates."),
    ("to", "params = jax.device_put(params, device)."),
    ("state_dict", "jseq.torch_state_dict(model, params, state)."),
    ("forward", "y = model.apply(params, x)."),
])  # fmt: skip
def test_a_method_of_torchs_modules_is_answered_with_the_call(name, call):
    model = jseq.sequential(jseq.linear(4, 8))
    with pytest.raises(AttributeError, match=f"^a layer has no '{name}': .* The call that works: {re.escape(call)}$"):
        getattr(model, name)
    assert not hasattr(model, name) and name not in dir(model)


def test_other_attributes_of_layers_are_as_they_were():
    model = jseq.sequential(jseq.linear(4, 8))
    assert {"init", "apply", "brief", "children"} <= {*dir(model)}
    with pytest.raises(AttributeError, match=r"^'Layer' object has no attribute 'aply'"):
        _ = model.aply
    for again in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again == model and hash(again) == hash(model)
