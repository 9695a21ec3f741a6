"""Every public layer stands in tests/cases.py."""

import jseq
from jseq.core import CONSTRUCTORS
from tests.cases import CASES

ELSEWHERE = {"from_stax"}  # its arguments are closures, which neither repr nor JSON can name: tests/test_stax.py


def test_every_public_layer_has_a_case():
    public = {name for name in dir(jseq) if getattr(jseq, name) in CONSTRUCTORS.values()}
    listed = {case.name for case in CASES}
    assert sorted(public - listed - ELSEWHERE) == [], "add these to tests/families"


def test_every_layer_is_public():
    built_in = {name.removeprefix("jseq.") for name in CONSTRUCTORS if name.startswith("jseq.") and "<" not in name}
    assert sorted(name for name in built_in if not hasattr(jseq, name)) == [], "export these from jseq/__init__.py"


def test_no_layer_is_listed_twice():
    names = [case.name for case in CASES]
    assert sorted({name for name in names if names.count(name) > 1}) == []
