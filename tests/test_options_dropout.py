"""Options and inputs that no dropout, embedding or position layer can have are refused by the layer's name."""

import re

import jax
import jax.numpy as jnp
import pytest

import jseq

SHARES = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
TABLE = [
    *((f"{name}({p})", f"expected p, the probability of dropping, from 0 to 1, got {p}")
      for name in SHARES for p in ("-0.1", "1.5", "'half'", "None")),
    ("drop_path(2, event_dims=1)", "expected p, the probability of dropping, from 0 to 1, got 2"),
    ("drop_path(0.5, event_dims=-1)", "event_dims must be a whole number of at least 0, got -1"),
    ("drop_path(0.5)", "argument: 'event_dims'"),
    ("drop_path(0.5, 1)", "too many positional arguments"),
    ("feature_alpha_dropout(0.5, spatial_dims=-1)", "spatial_dims must be a whole number of at least 0, got -1"),
    ("feature_alpha_dropout(0.5, spatial_dims=1.0)", "spatial_dims must be a whole number of at least 0, got 1.0"),
    ("gaussian_noise(-1)", "expected std >= 0, got -1"),
    ("gaussian_noise(float('nan'))", "expected std >= 0, got nan"),
    ("gaussian_noise('loud')", "expected std >= 0, got 'loud'"),
    ("gaussian_noise()", "missing a required argument: 'std'"),
    *((f"{name}({arguments})", text) for name in ("embedding", "embedding_bag") for arguments, text in (
        ("0, 3", "num_embeddings must be a whole number of at least 1, got 0"),
        ("None, 3", "num_embeddings must be a whole number of at least 1, got None"),
        ("7, -3", "embedding_dim must be a whole number of at least 1, got -3"),
        ("7, 3, padding_idx=7", "expected padding_idx from -7 to 6 (num_embeddings=7), got 7"),
        ("7, 3, padding_idx=-8", "expected padding_idx from -7 to 6 (num_embeddings=7), got -8"),
        ("7, 3, sparse=True", "sparse"),
    )),
    ("embedding_bag(7, 3, mode='min')", "expected mode to be one of ('sum', 'mean', 'max'), got 'min'"),
    ("embedding_bag(7, 3, None, 2.0, True, 'max')", 'expected mode "sum" or "mean" with scale_grad_by_freq=True'),
    ("learned_positions(0, 3)", "num_positions must be a whole number of at least 1, got 0"),
    ("learned_positions(None, 3)", "num_positions must be a whole number of at least 1, got None"),
    ("learned_positions(3, 0)", "features must be a whole number of at least 1, got 0"),
    ("sinusoidal_positions(0)", "features must be a whole number of at least 1, got 0"),
    ("sinusoidal_positions(4, -1.0)", "base must be a positive number, got -1.0"),
    ("rotary_embedding(0)", "base must be a positive number, got 0"),
    ("rotary_embedding('wide')", "base must be a positive number, got 'wide'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        eval(f"jseq.{call}", {"jseq": jseq})
    assert str(caught.value).startswith(call.partition("(")[0])


IDS = jnp.array([[1, 2], [0, 3]])
WRONG_INPUTS = [
    ("dropout1d()", jnp.ones(4), {}, "expected x of shape (..., T, C), got float32[4]"),
    ("dropout2d()", jnp.ones((4, 4)), {}, "expected x of shape (..., H, W, C), got float32[4,4]"),
    ("dropout3d()", jnp.ones((4, 4, 4)), {}, "expected x of shape (..., D, H, W, C), got float32[4,4,4]"),
    ("feature_alpha_dropout()", jnp.ones((4, 4)), {}, "expected x of shape (..., H, W, C), got float32[4,4]"),
    ("drop_path(0.5, event_dims=3)", jnp.ones((4, 4)), {}, "at least 3 axes, got float32[4,4]"),
    ("embedding(7, 3)", jnp.ones((4, 4)), {}, "expected x of an integer dtype (ids), got float32[4,4]"),
    ("embedding_bag(7, 3)", jnp.ones((4, 4)), {}, "expected x of an integer dtype (ids), got float32[4,4]"),
    ("embedding_bag(7, 3)", IDS[0, 0], {}, "expected x of shape (..., L), got int32[]"),
    ("embedding_bag(7, 3)", IDS, {"offsets": jnp.array([0])}, "expected x of shape (N,) with offsets"),
    ("embedding_bag(7, 3, mode='sum')", IDS, {"per_sample_weights": jnp.ones(2)}, "of the shape of x, int32[2,2]"),
    ("embedding_bag(7, 3)", IDS, {"per_sample_weights": jnp.ones((2, 2))}, 'expected mode="sum" with per_sample'),
    ("embedding_bag(7, 3)", IDS, {"offset": jnp.array([0])}, "Did you mean 'offsets'?"),
    ("learned_positions(4, 3)", jnp.ones((2, 5, 3)), {}, "T up to num_positions=4, got float32[2,5,3]"),
    ("learned_positions(4, 3)", jnp.ones((2, 4, 4)), {}, "expected x of shape (..., T, 3), got float32[2,4,4]"),
    ("learned_positions(4, 3)", jnp.ones(3), {}, "expected x of shape (..., T, features), got float32[3]"),
    ("sinusoidal_positions(3)", jnp.ones((2, 4)), {}, "expected x of shape (..., T, 3), got float32[2,4]"),
    ("sinusoidal_positions(3)", jnp.ones((2, 3), int), {}, "expected x of a floating dtype, got int32[2,3]"),
    ("rotary_embedding()", jnp.ones((5, 4)), {}, "expected x of shape (..., T, heads, head_dim), got float32[5,4]"),
    ("rotary_embedding()", jnp.ones((5, 2, 3)), {}, "with an even head_dim, got float32[5,2,3]"),
    ("rotary_embedding()", jnp.ones((5, 2, 4)), {"positions": jnp.arange(4)}, "positions that broadcast to (5,)"),
]


@pytest.mark.parametrize(
    ("call", "x", "context", "text"), WRONG_INPUTS, ids=[f"{call} {text[:40]}" for call, *_, text in WRONG_INPUTS]
)
def test_this_input_is_refused(call, x, context, text) -> None:
    layer = eval(f"jseq.{call}", {"jseq": jseq})
    params = layer.init(jax.random.key(0))
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        layer.apply(params, x, context=context)
    assert str(caught.value).startswith(call.partition("(")[0])
