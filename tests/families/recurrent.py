"""Cases of jseq/_layers/recurrent.py and cells.py. torch has the layers before the batch in a state."""

import jseq
from tests.case import Case, floats, ints

X = floats(3, 6, 4)
LENGTHS = {"lengths": ints(6, 3)}  # 5, 3, 4
H_MOVED = "(lambda y, h: (y, h.swapaxes(0, 1)))(*module(x[0]))"
HC_MOVED = "(lambda y, s: (y, s[0].swapaxes(0, 1), s[1].swapaxes(0, 1)))(*module(x[0]))"
FROM_STATE = "module(x[0], initial_state.swapaxes(0, 1).contiguous())[0]"
PACKED = "nn.utils.rnn.pack_padded_sequence(x[0], lengths.cpu().long(), batch_first=True, enforce_sorted=False)"
UNPACKED = "nn.utils.rnn.pad_packed_sequence({}, batch_first=True, total_length=6)[0]"
PADDED = UNPACKED.format(f"module({PACKED})[0]")
TORCH = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def same(name: str, arguments: str, x=X, extra: str = "", torch_call: str = "module(x[0])[0]", **options) -> Case:
    """The same arguments in both libraries; `extra` are jseq's own."""
    layer = eval(f"jseq.{name}({arguments}{extra})", {"jseq": jseq})
    return Case(layer, x, f"nn.{TORCH[name]}({arguments}, batch_first=True)", torch_call=torch_call, **options)


def variants(name: str, moved: str) -> tuple[Case, ...]:
    """What the three have in common."""
    last = "s[0].swapaxes(0, 1), s[1].swapaxes(0, 1)" if name == "lstm" else "s.swapaxes(0, 1)"
    unpacked = f"(lambda y, s: ({UNPACKED.format('y')}, {last}))(*module({PACKED}))"
    return (
        same(name, "4, 5", train=True),
        same(name, "4, 5, bias=False"),
        same(name, "4, 5, 2", train=True),
        same(name, "4, 5, num_layers=2, dropout=0.5"),
        same(name, "4, 5, bidirectional=True"),
        same(name, "4, 5, num_layers=3, bidirectional=True, bias=False"),
        same(name, "4, 5", floats(6, 4), batched=False),
        same(name, "4, 5", floats(2, 3, 6, 4), torch_call="module(x[0].flatten(0, 1))[0].unflatten(0, (2, 3))"),
        same(name, "4, 5", floats(3, 1, 4)),
        Case(eval(f"jseq.{name}(None, 5)", {"jseq": jseq}), X, f"nn.{TORCH[name]}(4, 5, batch_first=True)",
             torch_call="module(x[0])[0]"),
        same(name, "4, 5, num_layers=2, bidirectional=True", extra=", return_state=True", torch_call=moved),
        same(name, "4, 5", context=LENGTHS, torch_call=PADDED),
        same(name, "4, 5, num_layers=2, bidirectional=True", context=LENGTHS, torch_call=PADDED),
        same(name, "4, 5, num_layers=2, bidirectional=True", extra=", return_state=True", context=LENGTHS,
             torch_call=unpacked),
    )  # fmt: skip


def from_state(name: str) -> tuple[Case, ...]:
    """A given initial state, of one array; tests/test_recurrent.py has the pairs of lstm."""
    return (
        same(name, "4, 5", context={"initial_state": floats(3, 1, 5)}, torch_call=FROM_STATE),
        same(name, "4, 5, num_layers=2, bidirectional=True", context={"initial_state": floats(3, 4, 5)},
             torch_call=FROM_STATE),
    )  # fmt: skip


PROJECTED = (
    same("lstm", "4, 5, proj_size=2", train=True),
    same("lstm", "4, 5, 2, True, bidirectional=True, proj_size=3", extra=", return_state=True", torch_call=HC_MOVED),
    same("lstm", "4, 5, 2, False, bidirectional=True, proj_size=3", context=LENGTHS, torch_call=PADDED),
)
STEP = floats(3, 4)


def cell(name: str, torch_name: str, arguments: str, x=STEP, **options) -> Case:
    layer = eval(f"jseq.{name}({arguments})", {"jseq": jseq})
    module = f"nn.{torch_name}({arguments.replace('None', '4')})"
    return Case(layer, x, module, **options)


def cells(name: str, torch_name: str, *more: Case) -> Case:
    """What the three cells have in common."""
    options = {"torch_call": "module(x[0], (x[1], x[2]))"} if name == "lstm_cell" else {}
    h = floats(3, 5)
    state = (STEP, (h, h) if options else h)
    one = (floats(4), (floats(5), floats(5)) if options else floats(5))
    return cell(
        name, torch_name, "4, 5", state, train=True, **options,
        variants=(
            cell(name, torch_name, "4, 5", train=True),
            cell(name, torch_name, "4, 5, False", state, **options),
            cell(name, torch_name, "None, 5", state, **options),
            cell(name, torch_name, "4, 5", floats(4), batched=False),
            cell(name, torch_name, "4, 5", one, batched=False, **options),
            *more,
        ),
    )  # fmt: skip


CASES = [
    same(
        "rnn", "4, 5, 2, 'relu', True, dropout=0.3, bidirectional=True", extra=", return_state=True",
        torch_call=H_MOVED,
        variants=(
            *variants("rnn", H_MOVED), *from_state("rnn"), same("rnn", "4, 5, nonlinearity='relu'", train=True),
            same("rnn", "4, 5, 2, 'relu', bidirectional=True", context=LENGTHS, torch_call=PADDED),
        ),
    ),
    same("lstm", "4, 5, 2, dropout=0.3", variants=(*variants("lstm", HC_MOVED), *PROJECTED)),
    same("gru", "4, 5, 2, dropout=0.3", variants=(*variants("gru", H_MOVED), *from_state("gru"))),
    cells(
        "rnn_cell", "RNNCell", cell("rnn_cell", "RNNCell", "4, 5, True, 'relu'"),
        cell("rnn_cell", "RNNCell", "4, 5, nonlinearity='relu', bias=False", (STEP, floats(3, 5))),
    ),
    cells("lstm_cell", "LSTMCell"),
    cells("gru_cell", "GRUCell"),
]  # fmt: skip
