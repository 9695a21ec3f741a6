"""Law 9 and the beginner's table: every classic mistake gets the layer, its place, what was expected, what came,
and the call that works, in the first line of the message; the path stands in the notes.

`python -m tests.test_errors` prints the table.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)
MODEL = jseq.sequential(jseq.linear(64, 32), jseq.relu(), jseq.dropout(0.5), jseq.linear(32, 10))
CNN = jseq.sequential(jseq.conv2d(1, 8, 3), jseq.relu(), jseq.flatten(), jseq.linear(None, 10))
NORMED = jseq.sequential(jseq.linear(64, 32), jseq.sequential({"norm": jseq.batch_norm(32), "act": jseq.relu()}))
STATEFUL = jseq.with_state(NORMED)
PARAMS = MODEL.init(KEY)
NARROW = jseq.sequential(jseq.linear(64, 16), jseq.relu(), jseq.dropout(0.5), jseq.linear(16, 10)).init(KEY)
X = jnp.ones((4, 64))
RECURRENT = jseq.sequential(jseq.lstm(8, 5, return_state=True), jseq.linear(5, 2))
STATES = jnp.zeros((4, 1, 5))
IMAGES = jnp.ones((8, 28, 28))

# mistake, the call, the type, what the first line must say
TABLE = [
    (
        "1 wrong in_features",
        lambda: MODEL.apply(PARAMS, jnp.ones((4, 63))),
        ValueError,
        'linear(in_features=64, out_features=32, bias=True) at "0": expected x of shape (..., 64), got float32[4,63]',
    ),
    (
        "2 dropout without a key",
        lambda: MODEL.apply(PARAMS, X, train=True),
        TypeError,
        'dropout(p=0.5) at "2": expected a PRNG key, got None. The call that works: '
        "apply(params, x, key=key, train=True)",
    ),
    (
        "4 integer input",
        lambda: MODEL.apply(PARAMS, jnp.ones((4, 64), jnp.int32)),
        TypeError,
        'linear(in_features=64, out_features=32, bias=True) at "0": expected x of a floating dtype, got int32[4,64]. '
        "Call it with x.astype(jnp.float32)",
    ),
    (
        "5 params of another width",
        lambda: MODEL.apply(NARROW, X),
        ValueError,
        'linear(in_features=64, out_features=32, bias=True) at "0": params do not fit: '
        "bias: expected float32[32], got float32[16]; weight: expected float32[64,32], got float32[64,16]. "
        "Make them with this model's init",
    ),
    (
        "5b params of another structure",
        lambda: MODEL.apply(PARAMS[:2], X),
        ValueError,
        "sequential(...): expected params to be a tuple of 4, one for each child, got a tuple of 2",
    ),
    (
        "5c extra params",
        lambda: MODEL.apply((*PARAMS, {}), X),
        ValueError,
        "sequential(...): expected params to be a tuple of 4, one for each child, got a tuple of 5",
    ),
    (
        "6 conv, channel axis missing",
        lambda: CNN.init(KEY, IMAGES),
        ValueError,
        'at "0": expected x of shape (..., H, W, 1), got float32[8,28,28]. Add the channel axis: x[..., None]',
    ),
    (
        "6b rank 2 image",
        lambda: CNN.init(KEY, IMAGES[0]),
        ValueError,
        'at "0": expected x of shape (..., H, W, 1), got float32[28,28]',
    ),
    (
        "6c NCHW image",
        lambda: jseq.sequential(jseq.conv2d(3, 8, 3)).init(KEY, jnp.ones((8, 3, 32, 32))),
        ValueError,
        'at "0": expected x of shape (..., H, W, 3), got float32[8,3,32,32].',
    ),
    (
        "7b python list",
        lambda: MODEL.apply(PARAMS, [[1.0] * 64]),
        TypeError,
        "sequential(...): expected x to be an array, got a list of 1. "
        "The call that works: model.apply(params, jnp.asarray(x))",
    ),
    (
        "several arrays for one",
        lambda: RECURRENT.apply(RECURRENT.init(KEY), jnp.ones((4, 9, 8))),
        TypeError,
        'linear(in_features=5, out_features=2, bias=True) at "1": expected x to be an array, got (float32[4,9,5], '
        "(float32[4,1,5], float32[4,1,5])). For the first of them put jseq.select(0) before it; layers give one array "
        "without return_state=True and return_indices=True.",
    ),
    (
        "initial states beside x",
        lambda: RECURRENT[0].apply(RECURRENT[0].init(KEY), (jnp.ones((4, 9, 8)), (STATES, STATES))),
        TypeError,
        'Initial states go by context: apply(params, x, context={"initial_state": (h, c)}).',
    ),
    (
        "nothing for an array",
        lambda: jseq.sequential(lambda x: None, jseq.relu()).init(KEY, X),
        TypeError,
        'relu() at "1": expected x to be an array, got None. A function before it returns nothing, or x is missing.',
    ),
    (
        "a dict for an array",
        lambda: jseq.relu().apply((), {"image": X}),
        TypeError,
        "relu(): expected x to be an array, got {'image': float32[4,64]}. "
        'Take an entry in a function before it: lambda x: x["name"].',
    ),
    (
        "8 call before init",
        lambda: MODEL(X),
        TypeError,
        "sequential(...): a layer is a pair of pure functions and is not called itself. The call that works: "
        "params = model.init(jax.random.key(0)); y = model.apply(params, x)",
    ),
    (
        "8b apply without params",
        lambda: MODEL.apply(X),
        TypeError,
        "sequential(...): expected (params, x), got 1 positional arguments. The call that works: "
        "y = model.apply(params, x, key=key, train=True)",
    ),
    (
        "params and x swapped",
        lambda: MODEL.apply(X, PARAMS),
        ValueError,
        "sequential(...): expected params to be a tuple of 4, one for each child, got float32[4,64]. "
        "Make params with this model's init; apply takes (params, x) in this order",
    ),
    (
        "params and state swapped",
        lambda: STATEFUL.apply(*reversed(STATEFUL.init(KEY)), X),
        ValueError,
        "apply takes (params, state, x) in this order",
    ),
    (
        "params and state swapped, and none is kept",
        lambda: jseq.with_state(MODEL).apply((), PARAMS, X),
        ValueError,
        "sequential(...): expected params to be a tuple of 4, one for each child, got a tuple of 0. "
        "Make params with this model's init; apply takes (params, state, x) in this order",
    ),
    (
        "plain pair on a model with batch norm",
        lambda: NORMED.init(KEY),
        TypeError,
        "sequential(...): batch_norm(num_features=32, eps=1e-05, momentum=0.1, affine=True, "
        'track_running_stats=True) at "1.norm" keeps state, which the plain pair cannot thread. The call that works: '
        "init, apply = jseq.with_state(model); params, state = init(jax.random.key(0), x)",
    ),
    (
        "plain apply on a model with batch norm",
        lambda: NORMED.apply(PARAMS, X),
        TypeError,
        "keeps state, which the plain pair cannot thread. The call that works: "
        "init, apply = jseq.with_state(model); y, state = apply(params, state, x, key=key, train=True)",
    ),
    (
        "uncalled constructor",
        lambda: jseq.sequential(jseq.linear(64, 32), jseq.relu),
        TypeError,
        "sequential: relu is a constructor that was not called. The call that works: relu()",
    ),
    (
        "a list instead of layers",
        lambda: jseq.sequential([jseq.linear(64, 32), jseq.relu()]),
        TypeError,
        "sequential: expected layers one by one, got a list or a tuple. The call that works: sequential(*layers)",
    ),
    (
        "a pair of a name and a layer",
        lambda: jseq.sequential(("fc", jseq.linear(64, 32)), ("act", jseq.relu())),
        TypeError,
        "sequential: expected layers one by one, or a mapping of names to them, got a pair. "
        'The call that works: sequential({"fc": layer}).',
    ),
    (
        "a list of such pairs",
        lambda: jseq.sequential([("fc", jseq.linear(64, 32)), ("act", jseq.relu())]),
        TypeError,
        'got a pair. The call that works: sequential({"fc": layer}).',
    ),
    (
        "unknown keyword in a constructor",
        lambda: jseq.linear(64, 32, biass=False),
        TypeError,
        "linear: got an unexpected keyword argument 'biass'. Did you mean 'bias'? The call that works: "
        "linear(in_features, out_features, bias=True, *, weight_init=None, bias_init=None)",
    ),
    (
        "a misspelt name of a required argument",
        lambda: jseq.linear(in_feature=4, out_features=8),
        TypeError,
        "linear: got an unexpected keyword argument 'in_feature'. Did you mean 'in_features'? The call that works: "
        "linear(in_features, out_features, bias=True, *, weight_init=None, bias_init=None)",
    ),
    (
        "several misspelt names",
        lambda: jseq.linear(4, out_feature=8, biass=True),
        TypeError,
        "linear: got an unexpected keyword argument 'out_feature'. Did you mean 'out_features'? "
        "got an unexpected keyword argument 'biass'. Did you mean 'bias'? The call that works: ",
    ),
    (
        "a missing argument",
        lambda: jseq.linear(4),
        TypeError,
        "linear: missing a required argument: 'out_features'. The call that works: linear(in_features, out_features, ",
    ),
    (
        "unknown keyword in apply",
        lambda: MODEL.apply(PARAMS, X, training=True),
        TypeError,
        "sequential(...): 'training' is no argument of apply. Did you mean 'train'? The call that works: "
        "y = model.apply(params, x, key=key, train=True)",
    ),
    (
        "train traced by jit",
        lambda: jax.jit(MODEL.apply)(PARAMS, X, train=True),
        TypeError,
        "sequential(...): train is a static Python bool, got bool[]. Under jit: "
        'jax.jit(model.apply, static_argnames="train")',
    ),
    (
        "a seed for a key",
        lambda: MODEL.init(0),
        TypeError,
        "sequential(...): expected a PRNG key, got int 0. The call that works: params = model.init(jax.random.key(0))",
    ),
    (
        "x and key swapped in init",
        lambda: jseq.sequential(jseq.linear(None, 8)).init(X, KEY),
        TypeError,
        "sequential(...): expected a PRNG key, got float32[4,64]. The call that works: "
        "params = model.init(jax.random.key(0), x).",
    ),
    (
        "a seed for the key of a model that keeps state",
        lambda: STATEFUL.init(0),
        TypeError,
        "sequential(...): expected a PRNG key, got int 0. The call that works: "
        "init, apply = jseq.with_state(model); params, state = init(jax.random.key(0)).",
    ),
    (
        "several keys for one",
        lambda: MODEL.apply(PARAMS, X, key=jax.random.split(KEY, 3), train=True),
        TypeError,
        "sequential(...): expected a PRNG key, got key<fry>[3]. The call that works: "
        "y = model.apply(params, x, key=key, train=True)",
    ),
    (
        "several keys of the older form",
        lambda: MODEL.init(jax.random.split(jax.random.PRNGKey(0), 3)),
        TypeError,
        "sequential(...): expected a PRNG key, got uint32[3,2]. The call that works: "
        "params = model.init(jax.random.key(0))",
    ),
    (
        "a shape for x in init",
        lambda: MODEL.init(KEY, (4, 64)),
        TypeError,
        "sequential(...): init reads shapes from arrays, got int 4. The call that works: "
        "model.init(key, jax.ShapeDtypeStruct((32, 64), jnp.float32))",
    ),
    (
        "a size to infer, and no x",
        lambda: jseq.sequential(jseq.linear(None, 3)).init(KEY),
        ValueError,
        'linear(in_features=None, out_features=3, bias=True) at "0": in_features is None, so it is inferred from x. '
        "The call that works: model.init(key, x)",
    ),
    (
        "params and state in one tuple",
        lambda: MODEL.apply((PARAMS, ()), X),
        ValueError,
        "sequential(...): expected params to be a tuple of 4, one for each child, got a tuple of 2",
    ),
    (
        "floats for an embedding",
        lambda: jseq.sequential(jseq.embedding(10, 4)).init(KEY, X),
        TypeError,
        "embedding(num_embeddings=10, embedding_dim=4, padding_idx=None, max_norm=None, norm_type=2.0, "
        'scale_grad_by_freq=False) at "0": expected x of an integer dtype (ids), got float32[4,64]. '
        "Call it with x.astype(jnp.int32)",
    ),
    (
        "a size of zero",
        lambda: jseq.linear(64, 0),
        ValueError,
        "linear(in_features=64, out_features=0, bias=True): out_features must be a whole number of at least 1, got 0",
    ),
]


def message_of(call):
    try:
        call()
    except jseq.errors.LayerError as error:
        return type(error), str(error), getattr(error, "__notes__", [])
    raise AssertionError("no error was raised")


@pytest.mark.parametrize(("mistake", "call", "kind", "text"), TABLE, ids=[row[0] for row in TABLE])
def test_the_first_line_says_it_all(mistake, call, kind, text):
    found, message, _ = message_of(call)
    assert issubclass(found, kind)
    assert text in message.splitlines()[0]


def test_the_notes_are_the_path():
    model = jseq.sequential(jseq.identity(), {"a": 0} and jseq.sequential({"encoder": MODEL}))
    params = ((), {"encoder": PARAMS})
    with pytest.raises(ValueError) as caught:
        model.apply(params, jnp.ones((32, 128)))
    assert str(caught.value) == (
        'linear(in_features=64, out_features=32, bias=True) at "1.encoder.0": '
        "expected x of shape (..., 64), got float32[32,128]."
    )
    notes = [note for note in caught.value.__notes__ if note.startswith("in ")]
    assert notes == [
        "in (0): linear(in_features=64, out_features=32, bias=True), given float32[32,128]",
        'in (0) "encoder": sequential(...), given float32[32,128]',
        "in (1): sequential(...), given float32[32,128]",
        "in sequential(...), given float32[32,128]",
    ]


def test_errors_of_plain_functions_keep_type_and_text_and_get_the_path():
    model = jseq.sequential(jseq.linear(64, 32), lambda x: x @ jnp.ones((5, 5)))
    with pytest.raises(TypeError, match="dot_general") as caught:
        model.apply(model.init(KEY), X)
    assert re.search(
        r"in \(1\): <lambda at .*test_errors.py:\d+>, given float32\[4,32\]", "\n".join(caught.value.__notes__)
    )


def test_numpy_float64_is_accepted_as_everywhere_in_jax():
    assert MODEL.apply(PARAMS, np.ones((4, 64))).dtype == jnp.float32


def test_evaluation_is_the_default_so_forgetting_the_flag_is_deterministic():
    np.testing.assert_array_equal(MODEL.apply(PARAMS, X), MODEL.apply(PARAMS, X, key=KEY))


if __name__ == "__main__":
    for mistake, call, _, _ in TABLE:
        kind, message, _ = message_of(call)
        print(f"{mistake}\n    {kind.__name__}: {message}\n")
