"""from_torch of models as people write them: arrays of their own, a language model, states."""

import linecache

import jax
import jax.numpy as jnp
import pytest

import jseq
from jseq.errors import ConversionError

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from tests.test_from_torch import equal, float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402


def own(forward, parameters=(), buffers=(), **children):
    """A module with this forward, and arrays of its own: their shapes, or the arrays."""
    module = written(forward, **children)
    for name, shape in dict(parameters).items():
        module.register_parameter(name, nn.Parameter(torch.randn(shape)))
    for name, value in dict(buffers).items():
        module.register_buffer(name, value)
    return module


def ids(*shape):
    return torch.randint(0, 11, shape)


def encoder(layers=1):
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), layers)


def vision(s, x):
    x = s.patch(x).flatten(2).transpose(1, 2)
    x = torch.cat((s.cls.expand(x.shape[0], -1, -1), x), dim=1) + s.pos
    return s.head(s.blocks(x)[:, 0])


def repeated_token(s, x):
    x = s.patch(x).flatten(2).transpose(1, 2)
    return torch.cat((s.cls.repeat(x.size(0), 1, 1), x), 1).mean(dim=1)


VISION = {"patch": nn.Conv2d(4, 8, 3, 3), "blocks": encoder(), "head": nn.Linear(8, 3)}
EMBED = {"e": nn.Embedding(11, 8), "f": nn.Linear(8, 3)}
TABLE = {"pe": torch.randn(1, 9, 8)}
SEQUENCE = torch.randn(2, 5, 8)
OWN = {
    "a class token": (own(vision, {"cls": (1, 1, 8), "pos": (1, 5, 8)}, **VISION), image()),
    "a repeated token": (own(repeated_token, {"cls": (1, 1, 8)}, **VISION), image()),
    "a gain of each feature": (own(lambda s, x: s.f(x) * s.g + s.b, {"g": (3,), "b": (1, 3)}, f=nn.Linear(4, 3)),
                               torch.randn(2, 4)),
    "a number": (own(lambda s, x: s.g * x.exp() / s.g.exp(), {"g": ()}), torch.randn(2, 4)),
    "a gain of each channel": (own(lambda s, x: s.c(x) * s.g - s.b, {"g": (4, 1, 1), "b": (1, 4, 1, 1)}, c=conv()),
                               image()),
    "positions": (own(lambda s, x: s.f(s.e(x) + s.pos), {"pos": (1, 5, 8)}, **EMBED), ids(2, 5)),
    "some positions": (own(lambda s, x: s.f(s.e(x) + s.pos[:, : x.shape[1]]), {"pos": (1, 9, 8)}, **EMBED), ids(2, 5)),
    "a table": (own(lambda s, x: s.f(s.e(x) * 2.0 + s.pe[:, : x.size(1)]), (), TABLE, **EMBED), ids(2, 5)),
    "positions by number": (
        own(lambda s, x: s.e(x) + s.p(torch.arange(x.shape[1], device=x.device)), p=nn.Embedding(9, 8), **EMBED),
        ids(2, 5)),
    "positions from one on": (
        own(lambda s, x: s.e(x) + s.p(torch.arange(1, 1 + x.shape[1], dtype=torch.long)), p=nn.Embedding(9, 8),
            **EMBED), ids(2, 5)),
    "a mask of truth values": (
        own(lambda s, x: s.f(x).masked_fill(s.m, -1.5), (), {"m": torch.rand(2, 3) > 0.5}, f=nn.Linear(4, 3)),
        torch.randn(2, 4)),
    "whole numbers": (own(lambda s, x: s.e(s.n) + s.f(x), (), {"n": ids(3)}, e=nn.Embedding(11, 8), f=nn.Linear(4, 8)),
                      torch.randn(3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_arrays_of_the_modules_own_are_layers_under_their_names(name):
    module, x = OWN[name]
    model = agrees(module, x)
    _, params, state = jseq.from_torch(module)
    entries = jseq.torch_state_dict(model, params, state)
    assert entries.keys() == module.state_dict().keys()
    module.load_state_dict({name: torch.tensor(array) for name, array in entries.items()})
    buffers = {name for name, _ in module.named_buffers()}
    assert len(jax.tree.leaves(state)) == len(buffers)


def test_own_arrays_go_back_to_torch():
    tables = {"t": torch.randn(1, 4, 1, 1)}
    module = own(lambda s, x: (s.c(x) + s.t) * s.g, {"g": (4, 1, 1)}, tables, c=conv()).double().eval()
    x = image().double()
    back = jseq.to_torch(*jseq.from_torch(module))
    assert {name for name, _ in back.named_buffers()} == {"t"}
    assert back.state_dict().keys() == module.state_dict().keys()
    with torch.no_grad():
        equal(back(x).numpy(), module(x), 1e-12)
    with pytest.raises(ConversionError, match=r"no torch module is known for Reduced\(operation='mean'"):
        jseq.to_torch(*jseq.from_torch(written(lambda s, x: s.f(x).mean(1), f=nn.Linear(4, 4))))


def test_layers_in_a_list_that_the_forward_does_not_call_keep_their_arrays():
    module = written(lambda s, x: s.f(x), f=nn.Linear(4, 4), spare=nn.ModuleList([nn.Linear(4, 2), nn.ReLU()]))
    agrees(module, torch.randn(2, 4))
    model, params, state = jseq.from_torch(module)
    assert jseq.torch_state_dict(model, params, state).keys() == module.state_dict().keys()


def test_arrays_of_the_modules_own_have_the_dtype_of_the_input():
    for x in (jnp.ones(2, jnp.bfloat16), (jnp.ones(2, jnp.bfloat16), jnp.ones(3, jnp.int32))):
        model = jseq.parameter((2,))
        assert model.apply(model.init(jax.random.key(0)), x).dtype == jnp.bfloat16
        y, _ = jseq.with_state(jseq.buffer((2,))).apply((), {"value": jnp.ones(2)}, x)
        assert y.dtype == jnp.bfloat16


def test_what_the_state_dict_lacks_is_refused():
    module = written(lambda s, x: x * s.t)
    module.register_buffer("t", torch.ones(3), persistent=False)
    refused(module, "step 't': its forward reads 't', which is no parameter and no persistent buffer of Written itself")
    refused(own(lambda s, x: x * s.f.weight, f=nn.Linear(3, 3)), "reads 'f.weight', which is no parameter")


class Head(nn.Module):
    def __init__(self, width, size, longest):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(width, size, bias=False) for _ in range(3))
        self.register_buffer("tril", torch.tril(torch.ones(longest, longest)))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        _, t, _ = x.shape
        k = self.key(x)
        weights = self.query(x) @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
        weights = weights.masked_fill(self.tril[:t, :t] == 0, float("-inf"))
        return self.dropout(F.softmax(weights, dim=-1)) @ self.value(x)


class Block(nn.Module):
    def __init__(self, width, heads, longest):
        super().__init__()
        self.heads = nn.ModuleList(Head(width, width // heads, longest) for _ in range(heads))
        self.projection = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.norm(x)
        return x + self.projection(torch.cat([head(x) for head in self.heads], dim=-1))


class Language(nn.Module):
    def __init__(self, words=11, width=8, longest=9):
        super().__init__()
        self.longest = longest
        self.token, self.position = nn.Embedding(words, width), nn.Embedding(longest, width)
        self.blocks = nn.Sequential(*(Block(width, 2, longest) for _ in range(2)))
        self.head = nn.Linear(width, words)

    def forward(self, idx, targets=None):
        _, t = idx.shape
        assert t <= self.longest, "the text is too long"
        x = self.token(idx) + self.position(torch.arange(t, device=idx.device))
        logits = self.head(self.blocks(x))
        loss = None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss


def test_a_language_model_and_its_gradients_are_torchs():
    torch.manual_seed(0)
    module, x = Language().double().eval(), ids(2, 5)
    model, params, state = jseq.from_torch(module)
    assert jseq.from_config(jseq.to_config(model)) == model
    assert eval(repr(model), {"jseq": jseq, "jax": jax}) == model
    tokens = jnp.asarray(x.numpy(), jnp.int32)

    def loss(params):
        (logits, none), _ = jseq.with_state(model).apply(params, state, tokens)
        assert none is None
        return jnp.sum(jnp.sin(logits)), logits

    gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(params)
    theirs, _ = module(x)
    equal(logits, theirs.detach(), 1e-10)
    theirs.sin().sum().backward()
    ours = jseq.torch_state_dict(model, gradients, state)
    for name, parameter in module.named_parameters():
        equal(ours[name], parameter.grad, 1e-10)


def test_sizes_may_be_left_open():
    module, x = Language().double().eval(), ids(2, 3)
    model, params, state = jseq.from_torch(module)
    call = jax.jit(lambda tokens: jseq.with_state(model).apply(params, state, tokens)[0][0])
    shape = jax.export.symbolic_shape("b, t", constraints=["t <= 9"])
    exported = jax.export.export(call)(jax.ShapeDtypeStruct(shape, jnp.int32))
    with torch.no_grad():
        equal(exported.call(jnp.asarray(x.numpy(), jnp.int32)), module(x)[0], 1e-10)


class Pair(nn.Module):
    def forward(self, x):
        return x * 2, None


def test_none_beside_arrays_is_of_whole_models_alone():
    model, params, _ = jseq.from_torch(Pair())
    y, none = model.apply(params, jnp.ones(2))
    assert none is None and y.tolist() == [2, 2]
    refused(written(lambda s, x: s.t(x)[0], t=Pair()), "it gives None beside its arrays, which only a whole model may")
    model, params, _ = jseq.from_torch(written(lambda s, x: (x,)))
    (alone,) = model.apply(params, jnp.ones(2))
    assert alone.shape == (2,)


def asserts(s, x, y=None):
    assert x.dim() == 2 == x.ndim
    assert x.shape[0] > 0 and (x.shape[1] <= 8), "a long one"
    return s.f(x)


def asserts_numbers(s, x):
    assert x.sum() > 0
    return x


def test_assertions_are_left_out_and_no_choice_is():
    agrees(written(asserts, f=nn.Linear(4, 4)), torch.randn(2, 4))
    code = "def one(s, x):\n    assert x.shape[1] == 3; y = x * 2 if x.shape[1] == 4 else x * 5\n    return y\n"
    code += "def two(s, x):\n    assert (y := (x * 3 if x.shape[1] == 4 else x)) is not None\n    return y\n"
    code += "def three(s, x):\n    assert not x.shape[1] == 3\n    return x\n"
    file = "/jseq/assertions"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    names = {}
    exec(compile(code, file, "exec"), names)
    for name in ("one", "two", "three"):
        refused(written(names[name]), "the truth of eq")
    refused(written(asserts_numbers), "the truth of gt is asked for, and it is known only when numbers come")


def test_modules_named_as_functions_are_modules():
    agrees(written(lambda s, x: x + s.size(x) * s.size(x), size=nn.Linear(4, 4)), torch.randn(2, 4))
    module = written(lambda s, x: s.l(x, s.zeros(x))[0], l=nn.GRU(3, 3), zeros=nn.Linear(3, 3))
    refused(module, "argument hx=zeros of l is not converted")


def test_arrays_named_as_steps_and_unread_ones():
    arrays = {"mean": (1, 8), "std": (8,), "spare": (2, 0)}
    module = own(lambda s, x: (x.mean(1, keepdim=True) + x - s.mean) / s.std, arrays, {"never": torch.ones(2)})
    agrees(module, SEQUENCE)
    entries = jseq.torch_state_dict(*jseq.from_torch(module))
    assert entries.keys() == module.state_dict().keys()


def test_one_array_under_two_names_is_tied():
    module = written(lambda s, x: (s.e(x) + s.a) @ s.w.t(), e=nn.Embedding(11, 8))
    module.w = module.e.weight
    module.a = nn.Parameter(torch.randn(8))
    model = agrees(module, ids(2, 5))
    assert len(jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)))) == 2


def test_an_array_of_its_own_is_not_changed_in_place():
    def counts(s, x):
        s.b.add_(1)
        return x * s.b

    refused(own(counts, (), {"b": torch.ones(())}), "changes 'b', an array of the module's own, in place")


def test_whole_numbers_of_64_bits():
    module = own(lambda s, x: x + s.n, (), {"n": torch.tensor([2**40, 1])})
    with jax.enable_x64(False):
        refused(module, "the buffer 'n' has numbers of more than 32 bits. Switch 64 on before")
    with jax.enable_x64(True):
        assert jseq.from_torch(module)[2]["n"]["value"].tolist() == [2**40, 1]


def zeros_first(s, x):
    start = torch.zeros(1, x.size(0), 6).to(x.device)
    y, _ = s.l(x, (start, torch.zeros(1, x.size(0), 6, device=x.device)))
    return y[:, -1, :]


def test_states_of_zeros_are_those_that_recurrence_begins_with():
    agrees(written(zeros_first, l=nn.LSTM(8, 6, batch_first=True)), SEQUENCE)
    refused(written(lambda s, x: s.l(x, x)[0], l=nn.GRU(8, 8)), "argument hx=.* is not converted. Its layer begins")


def test_a_damaged_config_is_refused():
    model, _, _ = jseq.from_torch(written(lambda s, x: s.f(x).mean(1), f=nn.Linear(4, 4)))
    config = jseq.to_config(model)
    assert jseq.from_config(config) == model
    (_, mean) = config["arguments"]["layers"][0]["mapping"].values()
    function = mean["arguments"]["function"]
    assert function == {"array_function": "Reduced", "values": ["mean", [1], False]}
    for name, values in (("Reduced", [1]), ("Callable", []), ("parted", []), (3, []), ("Reduced", None)):
        function.update(array_function=name, values=values)
        with pytest.raises(jseq.errors.CallError, match="no function of arrays with such values"):
            jseq.from_config(config)
    for name, values, words in (("Reduced", ["load", [1], False], "operation to be one of mean, sum, "),
                                ("PooledWhole", ["load", [2]], "operation to be one of mean, max"),
                                ("Reshaped", [[2], "load"], "how to be one of reshape, expand, repeat")):  # fmt: skip
        function.update(array_function=name, values=values)
        with pytest.raises(jseq.errors.OptionError, match=f"expected {words}.*, got 'load'"):
            jseq.from_config(config)
