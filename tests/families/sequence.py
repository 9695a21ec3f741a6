"""Cases of jseq/_combinators/sequence.py and streaming.py."""

import numpy as np

import jseq
from tests.case import Case, floats

X = floats(3, 6, 4)


def rnn(p, x):
    """Elman's recurrence over (N, T, features)."""
    h, ys = np.zeros((x.shape[0], p["weight_hh"].shape[0])), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ p["weight_ih"] + p["bias_ih"] + h @ p["weight_hh"] + p["bias_hh"])
        ys.append(h)
    return np.stack(ys, 1)


def lstm(p, x):
    """Long short-term memory: the outputs, and the last h and c."""
    h = c = np.zeros((x.shape[0], p["weight_hh"].shape[0]))
    ys = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ p["weight_ih"] + p["bias_ih"] + h @ p["weight_hh"] + p["bias_hh"], 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        ys.append(h)
    return np.stack(ys, 1), (h, c)


def gru(p, x):
    h, ys = np.zeros((x.shape[0], p["weight_hh"].shape[0])), []
    for t in range(x.shape[1]):
        xr, xz, xn = np.split(x[:, t] @ p["weight_ih"] + p["bias_ih"], 3, -1)
        hr, hz, hn = np.split(h @ p["weight_hh"] + p["bias_hh"], 3, -1)
        z = sigmoid(xz + hz)
        h = (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h
        ys.append(h)
    return np.stack(ys, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def both_ways(p, x):
    return rnn(p["forward"], x), rnn(p["backward"], x[:, ::-1])[:, ::-1]


def attention(p, x):
    """Causal attention of two heads of two features each."""
    q, k, v = np.split(x @ p["in_proj_weight"] + p["in_proj_bias"], 3, -1)
    heads = []
    for s in (slice(0, 2), slice(2, 4)):
        scores = q[..., s] @ np.moveaxis(k[..., s], -1, -2) / np.sqrt(2)
        weights = np.exp(np.where(np.tri(x.shape[1]) > 0, scores, -np.inf))
        heads.append(weights / weights.sum(-1, keepdims=True) @ v[..., s])
    return np.concatenate(heads, -1) @ p["out_proj"]["weight"] + p["out_proj"]["bias"]


RNN = jseq.recurrent(jseq.rnn_cell(4, 5))
NORMED = jseq.sequential(jseq.recurrent(jseq.gru_cell(4, 5)), jseq.batch_norm(5), jseq.dropout(0.5))
CASES = [
    Case(
        jseq.recurrent(jseq.sequential({"cell": jseq.gru_cell(4, 5), "drop": jseq.dropout(0.5)}), return_state=True), X,
        variants=(
            Case(RNN, X, reference=rnn),
            Case(jseq.recurrent(jseq.rnn_cell(None, 5), reverse=True), X,
                 reference=lambda p, x: rnn(p, x[:, ::-1])[:, ::-1]),
            Case(jseq.recurrent(jseq.rnn_cell(4, 5), return_state=True), X,
                 reference=lambda p, x: (rnn(p, x), rnn(p, x)[:, -1])),
            Case(jseq.recurrent(jseq.gru_cell(4, 5)), X, reference=gru),
            Case(jseq.recurrent(jseq.lstm_cell(4, 5)), X, reference=lambda p, x: lstm(p, x)[0]),
            Case(jseq.recurrent(jseq.lstm_cell(4, 5), return_state=True), X, reference=lstm),
        ),
    ),
    Case(
        jseq.bidirectional(NORMED), X,
        variants=(
            Case(jseq.bidirectional(RNN), X, reference=lambda p, x: np.concatenate(both_ways(p, x), -1)),
            Case(jseq.bidirectional(RNN, "add"), X, reference=lambda p, x: np.add(*both_ways(p, x))),
            Case(jseq.bidirectional(RNN, "multiply"), X, reference=lambda p, x: np.multiply(*both_ways(p, x))),
            Case(jseq.bidirectional(RNN, "average"), X, reference=lambda p, x: np.mean(both_ways(p, x), 0)),
            Case(jseq.bidirectional(RNN, "none"), X, reference=both_ways),
        ),
    ),
    Case(
        jseq.streaming(jseq.grouped_query_attention(8, 4, 2, dropout=0.5, window=4), 7), floats(3, 6, 8), batched=False,
        variants=(
            Case(jseq.streaming(jseq.multihead_attention(4, 2, is_causal=True), 9), X, reference=attention),
            Case(jseq.streaming(jseq.learned_positions(7, 4)), X, reference=lambda p, x: x + p["weight"][:6]),
        ),
    ),
]  # fmt: skip
