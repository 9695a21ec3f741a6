"""Options that no activation can have are refused at construction, by the layer's name."""

import re

import pytest

import jseq

TABLE = [
    ("prelu(0)", "num_parameters must be a whole number of at least 1, got 0"),
    ("prelu(2.5)", "num_parameters must be a whole number of at least 1, got 2.5"),
    ("gelu('erf')", 'expected approximate="none" or "tanh", got \'erf\''),
    ("hardtanh(1.0, -1.0)", "expected min_val < max_val, got min_val=1.0, max_val=-1.0"),
    ("hardtanh(1.0, 1.0)", "expected min_val < max_val, got min_val=1.0, max_val=1.0"),
    ("rrelu(0.5, 0.25)", "expected lower <= upper, got lower=0.5, upper=0.25"),
    ("celu(0.0)", "expected alpha other than 0"),
    ("softplus(0)", "expected beta other than 0"),
    ("softshrink(-0.5)", "expected lambd >= 0, got -0.5"),
    ("threshold(1.0)", "missing a required argument: 'value'"),
    ("elu(beta=1.0)", "unexpected keyword argument 'beta'"),
    ("relu(inplace=True)", "'inplace'"),
    ("arithmetic('multiplied', 2)", "subtract, multiply, divide, power, got 'multiplied'. Did you mean 'multiply'?"),
    ("arithmetic('add', True)", "expected value to be a number, got True"),
]


@pytest.mark.parametrize(("call", "text"), TABLE, ids=[call for call, _ in TABLE])
def test_this_call_is_refused(call: str, text: str) -> None:
    with pytest.raises(jseq.errors.LayerError, match=re.escape(text)) as caught:
        eval(f"jseq.{call}", {"jseq": jseq})
    assert str(caught.value).startswith(call.partition("(")[0])
