"""Options that no attention, transformer, recurrent or feed-forward layer can have are refused by the layer's name;
so are masks, states and tuples that do not fit.
"""

import re

import jax
import jax.numpy as jnp
import pytest

import jseq

TABLE = [
    ("multihead_attention(0, 2)", "embed_dim must be a whole number of at least 1, got 0"),
    ("multihead_attention(8, None)", "num_heads must be a whole number of at least 1, got None: it cannot be inferred"),
    ("multihead_attention(8, 3)", "embed_dim must be a multiple of num_heads, got 8 and 3"),
    ("multihead_attention(8, 2, 1.5)", "expected p, the probability of dropping, from 0 to 1, got 1.5"),
    ("multihead_attention(8, 2, kdim=0)", "kdim must be a whole number of at least 1, got 0"),
    ("multihead_attention(8, 2, vdim=2.5)", "vdim must be a whole number of at least 1, got 2.5"),
    ("multihead_attention(8, 2, batch_first=True)", "unexpected keyword argument 'batch_first'"),
    ("grouped_query_attention(8, 4, 3)", "num_heads must be a multiple of num_kv_heads, got 4 and 3"),
    ("grouped_query_attention(8, 3, 1)", "embed_dim must be a multiple of num_heads, got 8 and 3"),
    ("grouped_query_attention(8, 2, None)", "num_kv_heads must be a whole number of at least 1, got None"),
    ("grouped_query_attention(8, 2, 1, 3)", "head_dim must be even, got 3"),
    ("grouped_query_attention(8, 2, 1, window=0)", "expected window to be an integer of at least 1 or None, got 0"),
    ("grouped_query_attention(8, 2, 1, window=3, is_causal=False)", "window=3 needs is_causal=True"),
    ("grouped_query_attention(8, 2, 1, dropout=-0.1)", "from 0 to 1, got -0.1"),
    *((f"transformer_{kind}_layer({arguments})", text) for kind in ("encoder", "decoder") for arguments, text in (
        ("8, 3", "embed_dim must be a multiple of num_heads, got 8 and 3"),
        ("None, 2", "d_model must be a whole number of at least 1, got None"),
        ("8, 2, 0", "dim_feedforward must be a whole number of at least 1, got 0"),
        ("8, 2, dropout=2", "from 0 to 1, got 2"),
        ("8, 2, activation='rellu'", "got 'rellu'. Did you mean 'relu'?"),
        ("8, 2, activation=jseq.relu", "relu is a constructor that was not called"),
    )),
    ("transformer_encoder(jseq.identity(), 0)", "num_layers must be a whole number of at least 1, got 0"),
    ("transformer_decoder(jseq.identity(), None)", "num_layers must be a whole number of at least 1, got None"),
    ("transformer(7)", "embed_dim must be a multiple of num_heads, got 7 and 8"),
    ("transformer(num_decoder_layers=0)", "num_layers must be a whole number of at least 1, got 0"),
    *((f"{name}({arguments})", text) for name in ("rnn", "lstm", "gru") for arguments, text in (
        ("0, 5", "input_size must be a whole number of at least 1, got 0"),
        ("4, None", "hidden_size must be a whole number of at least 1, got None"),
        ("4, 5, 0", "num_layers must be a whole number of at least 1, got 0"),
        ("4, 5, dropout=1.5", "from 0 to 1, got 1.5"),
    )),
    ("rnn(4, 5, nonlinearity='sigmoid')", "expected nonlinearity to be 'tanh' or 'relu', got 'sigmoid'"),
    ("lstm(4, 5, proj_size=5)", "proj_size must be a whole number from 0 to below hidden_size=5, got 5"),
    ("lstm(4, 5, proj_size=-1)", "got -1"),
    ("gru(4, 5, proj_size=2)", "unexpected keyword argument 'proj_size'"),
    ("rnn_cell(4, 5, nonlinearity='gelu')", "got 'gelu'"),
    *((f"{name}_cell({sizes})", text) for name in ("rnn", "lstm", "gru") for sizes, text in (
        ("4, 0", "hidden_size must be a whole number of at least 1, got 0"),
        ("-1, 5", "input_size must be a whole number of at least 1, got -1"),
    )),
    ("mlp(4, 5, None)", "out_features must be a whole number of at least 1, got None"),
    ("mlp(4, None, 2)", "hidden_features must be a whole number of at least 1, got None"),
    ("mlp(4, (5, 0), 2)", "hidden_features must be a whole number of at least 1, got 0"),
    ("mlp(4, (5, 6), 2, 2)", "hidden_features of 2 widths make 3 layers, got num_layers=2"),
    ("mlp(4, 5, 2, activation='tanh')", 'expected activation to be "relu", "gelu", a function'),
    ("mlp(4, 5, 2, dropout=2)", "from 0 to 1, got 2"),
    ("swiglu(0)", "features must be a whole number of at least 1, got 0"),
    ("geglu(4, 0)", "hidden_features must be a whole number of at least 1, got 0"),
    ("geglu(4, approximate='erf')", 'expected approximate="none" or "tanh", got \'erf\''),
    ("with_memory(jseq.bilinear)", "bilinear is a constructor that was not called"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)):
        eval(f"jseq.{call}", {"jseq": jseq})


X = jnp.ones((2, 5, 8))
WRONG = [
    ("multihead_attention(8, 2)", X[..., :7], {}, "expected x of shape (..., T, 8), got float32[2,5,7]"),
    ("multihead_attention(8, 2)", X[0, 0], {}, "expected x of shape (..., T, features), got float32[8]"),
    ("multihead_attention(8, 2)", (X, X), {}, "expected x to be an array or a tuple (query, key, value)"),
    ("multihead_attention(8, 2)", (X, X, X[:, :3]), {}, "equal where the letters are"),
    ("multihead_attention(8, 2, kdim=4)", (X, X, X), {}, "(..., T, 4), got float32[2,5,8]. This is key"),
    ("multihead_attention(8, 2)", X, {"mask": jnp.ones((4, 4), bool)}, "expected a mask that broadcasts"),
    ("multihead_attention(8, 2)", X, {"mask": jnp.ones((5, 5), jnp.int32)}, "boolean (True: may be seen) or floating"),
    ("multihead_attention(8, 2)", X, {"key_padding_mask": jnp.ones((2, 4), bool)}, "shape (..., S) = (2, 5)"),
    ("multihead_attention(8, 2)", X, {"key_padding_mask": jnp.ones((2, 5), jnp.int32)}, "boolean (True: may be seen)"),
    ("grouped_query_attention(8, 2, 1, rotary=False)", X, {"positions": jnp.arange(5)}, "it has rotary=False"),
    ("transformer_decoder_layer(8, 2, 4)", (X, X), {"mask": jnp.ones((5, 5), bool)}, "say 'tgt_mask' or 'memory_mask'"),
    ("transformer_decoder_layer(8, 2, 4)", X, {}, "expected x to be a tuple of two arrays"),
    ("transformer_encoder_layer(8, 2, 4)", X[..., :6], {}, "expected x of shape (..., T, 8), got float32[2,5,6]"),
    ("gru(8, 3)", X, {"initial_state": jnp.ones((1, 2, 3))}, "expected an initial state of shape (2, 1, 3)"),
    ("lstm(8, 3)", X, {"initial_state": jnp.ones((2, 1, 3))}, "to be a tuple (h, c), got float32[2,1,3]"),
    ("rnn(8, 3)", X, {"lengths": jnp.ones(3, jnp.int32)}, "expected lengths of shape (2,), one a sequence"),
    ("rnn(8, 3)", X, {"lengths": jnp.ones(2)}, "expected integer lengths, got float32[2]"),
    ("gru(8, 3)", X[0, 0], {}, "expected x of shape (..., T, features), got float32[8]"),
    ("gru_cell(8, 3)", (X, X, X), {}, "expected x to be an array or a tuple (x, h)"),
    ("lstm_cell(8, 3)", (X, X), {}, "expected the state to be a tuple (h, c), got float32[2,5,8]"),
    ("rnn_cell(8, 3)", (X, X), {}, "expected an initial state of shape (2, 5, 3)"),
    ("swiglu(6)", X, {}, "expected x of shape (..., 6), got float32[2,5,8]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "x", "context", "text"), WRONG, ids=[f"{row[0]} {row[3][:40]}" for row in WRONG])
def test_this_input_is_refused(call, x, context, text) -> None:
    layer = eval(f"jseq.{call}", {"jseq": jseq})
    params = layer.init(jax.random.key(0))
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)):
        layer.apply(params, x, context=context)


def test_without_dropout_training_needs_no_key() -> None:
    for layer in (jseq.multihead_attention(8, 2), jseq.transformer_encoder_layer(8, 2, 4, 0.0), jseq.mlp(8, 4, 2)):
        params = layer.init(jax.random.key(0))
        assert not layer.uses_key
        assert (layer.apply(params, X, train=True) == layer.apply(params, X)).all()


def test_every_copy_of_a_layer_starts_from_values_of_its_own() -> None:
    model = jseq.transformer_encoder(jseq.transformer_encoder_layer(8, 2, 4), 2)
    first, second = model.init(jax.random.key(0))["layers"]
    assert (first["linear1"]["weight"] != second["linear1"]["weight"]).all()


def test_self_attention_is_one_product_for_queries_keys_and_values() -> None:
    layer = jseq.multihead_attention(8, 2)
    params = layer.init(jax.random.key(0))

    def products(x):
        return jax.jit(layer.apply).lower(params, x).as_text().count("dot_general ")

    assert products(X) == 4  # projections in, scores, average, projection out
    assert products((X, X, X)) == 6
