"""Recurrent networks and their cells in ONNX."""

import math
from typing import Any

import numpy as np

from jseq._interop.onnx.graph import Graph
from jseq._interop.onnx.loop import scan
from jseq._interop.onnx.registry import Call, onnx_emitter
from jseq._interop.onnx.value import Value
from jseq._layers import cells, recurrent
from jseq._layers.recurrent_stack import SUFFIXES, WEIGHTS

KINDS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
ORDERS = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}  # torch's gates in the order of ONNX: ifgo, rzn


@onnx_emitter(recurrent.rnn, recurrent.lstm, recurrent.gru)
def recurrent_network(graph: Graph, call: Call) -> Any:
    """Layer by layer; each is one node, but for projections, which ONNX's LSTM lacks."""
    *lead, length, features = call.x.shape
    x = graph.transpose(graph.reshape(call.x, (math.prod(lead), length, features)), (1, 0, 2))  # (T, N, F)
    lengths = call.context.get("lengths")
    lengths = None if lengths is None else graph.cast(graph.reshape(lengths, (math.prod(lead),)), np.int32)
    suffixes = SUFFIXES[: 1 + call.options["bidirectional"]]
    run = projected_layer if call.options.get("proj_size") else layer
    finals: list[tuple[Value, ...]] = []
    for index in range(call.options["num_layers"]):
        weights = [[call.params.get(f"{name}_l{index}{suffix}") for name in WEIGHTS] for suffix in suffixes]
        rows = range(index * len(suffixes), (index + 1) * len(suffixes))
        x, last = run(graph, call, x, weights, initial(graph, call, math.prod(lead), rows), lengths)
        finals.append(last)
    y = graph.transpose(x, (1, 0, 2))
    y = graph.reshape(y, (*lead, *y.shape[1:]))
    if not call.options["return_state"]:
        return y
    states = [graph.transpose(graph.concat(list(parts), 0), (1, 0, 2)) for parts in zip(*finals, strict=True)]
    states = [graph.reshape(v, (*lead, *v.shape[1:])) for v in states]
    return y, states[0] if len(states) == 1 else tuple(states)


def initial(graph: Graph, call: Call, batch: Any, rows: range) -> tuple[Value, ...] | None:
    """The initial states of one layer, directions first: (directions, N, size)."""
    given = call.context.get("initial_state")
    if given is None:
        return None
    states = given if isinstance(given, tuple) else (given,)
    flat = [graph.reshape(v, (batch, *v.shape[-2:])) for v in states]
    return tuple(graph.transpose(graph.take(v, 1, rows.start, rows.stop), (1, 0, 2)) for v in flat)


def layer(graph: Graph, call: Call, x: Value, weights: Any, state: Any, lengths: Any) -> tuple[Value, Any]:
    """One layer as an RNN, LSTM or GRU node; x (T, N, F)."""
    kind, hidden = call.layer.name, call.options["hidden_size"]

    def gates(a: Any) -> np.ndarray:
        parts = np.split(np.asarray(a), len(ORDERS[kind]), axis=-1)
        return np.concatenate([parts[i] for i in ORDERS[kind]], axis=-1)

    stacked = [np.stack([gates(own[i]).T for own in weights]) for i in (0, 1)]
    bias = None
    if weights[0][2] is not None:
        bias = np.stack([np.concatenate([gates(own[2]), gates(own[3])]) for own in weights])
    count, (length, batch) = len(weights), x.shape[:2]
    last = (count, batch, hidden)
    attributes: dict[str, Any] = {"direction": "bidirectional" if count == 2 else "forward", "hidden_size": hidden}
    if kind == "gru":
        attributes["linear_before_reset"] = 1
    if kind == "rnn":
        attributes["activations"] = [call.options["nonlinearity"].title()] * count
    states = 2 if kind == "lstm" else 1
    made = graph.op(KINDS[kind], x, *stacked, bias, lengths, *(state or ()), outputs=1 + states,
                    shape=[(length, count, batch, hidden), *[last] * states], dtype=x.dtype, **attributes)  # fmt: skip
    y = graph.reshape(graph.transpose(made[0], (0, 2, 1, 3)), (length, batch, count * hidden))
    return y, made[1:]


def projected_layer(graph: Graph, call: Call, x: Value, weights: Any, state: Any, lengths: Any) -> tuple[Value, Any]:
    """One layer of an LSTM with projections, by Scan."""
    size, hidden = call.options["proj_size"], call.options["hidden_size"]
    ys: list[Value] = []
    finals: list[list[Value]] = []
    for reverse, own in enumerate(weights):
        zero = graph.constant(np.zeros((1, 1)), x.dtype)
        start = [graph.expand(zero, (x.shape[1], n)) for n in (size, hidden)]
        if state is not None:
            start = [graph.reshape(graph.take(v, 0, reverse, reverse + 1), v.shape[1:]) for v in state]
        steps, valid = valid_steps(graph, x, lengths)

        def step(body: Graph, carry: list[Value], now: list[Value], own: Any = own) -> Any:
            h, c = lstm_step(body, now[0], (carry[0], carry[1]), own[:4])
            h = body.linear(h, own[4])
            y = h
            if len(now) > 1:
                y, h, c = body.where(now[1], h, 0.0), body.where(now[1], h, carry[0]), body.where(now[1], c, carry[1])
            return [h, c], [y]

        last, (y,) = scan(graph, step, start, [steps, *valid], bool(reverse))
        ys.append(y)
        finals.append([graph.expand_dims(v, 0) for v in last])
    return graph.concat(ys, -1), tuple(graph.concat(list(parts), 0) for parts in zip(*finals, strict=True))


def valid_steps(graph: Graph, x: Value, lengths: Value | None) -> tuple[Value, list[Value]]:
    """x (T, N, F), and which of its steps count: (T, N, 1), if there are lengths."""
    if lengths is None:
        return x, []
    times = np.arange(x.shape[0], dtype=lengths.dtype)[:, None]
    counted = graph.map("Less", times, graph.expand_dims(lengths, 0), dtype=bool)
    return x, [graph.expand_dims(counted, -1)]


def lstm_step(graph: Graph, x: Value, state: tuple[Value, Value] | None, weights: Any) -> tuple[Value, Value]:
    """One step of an LSTM, from zeros without a state."""
    ih, hh, bias_ih, bias_hh = weights
    gates = graph.linear(x, ih, bias_ih)
    if state is not None:
        gates = gates + graph.linear(state[0], hh, bias_hh)
    elif bias_hh is not None:
        gates = gates + bias_hh
    i, f, g, o = graph.split(gates, 4)
    c = graph.map("Sigmoid", i) * graph.map("Tanh", g)
    c = c if state is None else graph.map("Sigmoid", f) * state[1] + c
    return graph.map("Sigmoid", o) * graph.map("Tanh", c), c


def parts(call: Call) -> tuple[Value, Any, list[Any]]:
    """x, the state or None, and the weights of a cell."""
    x, state = call.x if isinstance(call.x, tuple) else (call.x, None)
    return x, state, [call.params.get(name) for name in WEIGHTS[:4]]


@onnx_emitter(cells.lstm_cell)
def lstm_cell(graph: Graph, call: Call) -> Any:
    x, state, weights = parts(call)
    return lstm_step(graph, x, state, weights)


@onnx_emitter(cells.rnn_cell)
def rnn_cell(graph: Graph, call: Call) -> Value:
    x, h, (ih, hh, bias_ih, bias_hh) = parts(call)
    total = graph.linear(x, ih, bias_ih)
    if h is not None:
        total = total + graph.linear(h, hh, bias_hh)
    elif bias_hh is not None:
        total = total + bias_hh
    return graph.map("Relu" if call.options["nonlinearity"] == "relu" else "Tanh", total)


@onnx_emitter(cells.gru_cell)
def gru_cell(graph: Graph, call: Call) -> Value:
    """`h' = (1 - z) n + z h`."""
    x, h, (ih, hh, bias_ih, bias_hh) = parts(call)
    xr, xz, xn = graph.split(graph.linear(x, ih, bias_ih), 3)
    hidden: list[Any] = [0.0, 0.0, 0.0] if bias_hh is None else np.split(np.asarray(bias_hh), 3)
    if h is not None:
        hidden = list(graph.split(graph.linear(h, hh, bias_hh), 3))
    r, z = graph.map("Sigmoid", xr + hidden[0]), graph.map("Sigmoid", xz + hidden[1])
    n = graph.map("Tanh", xn + r * hidden[2])
    return (1.0 - z) * n if h is None else (1.0 - z) * n + z * h
