"""`python -m jseq FILE` shows a file by its header; a file that it cannot read is one line and an exit code."""

import runpy
import sys

import numpy as np
import pytest

import jseq
from jseq._interop.files import write_tensors
from jseq._tools.command_line import main

MODEL = jseq.sequential(jseq.linear(3, 4), jseq.batch_norm(4))
PARAMS = ({"weight": np.ones((3, 4), np.float32), "bias": np.ones(4, np.float32)}, {"weight": np.ones(4, np.float16)})
STATE = ((), {"num_batches_tracked": np.int32(0)})


def shown(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, error = capsys.readouterr()
    assert (code == 0) == (not error)
    return out if code == 0 else (code, error)


def test_a_file_is_shown_with_its_model_and_every_array(tmp_path, capsys):
    jseq.save(tmp_path / "file", MODEL, PARAMS, STATE)
    size = (tmp_path / "file").stat().st_size
    assert (
        shown(capsys, tmp_path / "file")
        == f"""\
{tmp_path}/file: written by jseq, format 1, {size:,} bytes

sequential(
  (0): linear(in_features=3, out_features=4, bias=True)
  (1): batch_norm(num_features=4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
)

array                        dtype       shape  values  bytes
params.0.bias                float32      (4,)       4     16
params.0.weight              float32    (3, 4)      12     48
params.1.weight              float16      (4,)       4      8
state.1.num_batches_tracked  int32          ()       1      4

params                                3 arrays      20     72
state                                  1 array       1      4
all float32                           2 arrays      16     64
all int32                              1 array       1      4
all float16                            1 array       4      8
total                                 4 arrays      21     76
"""
    )


def test_the_arrays_are_not_read(tmp_path, capsys):
    jseq.save_params(tmp_path / "file", PARAMS)
    before = shown(capsys, tmp_path / "file")
    with open(tmp_path / "file", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\xff\xff\xff\xff")
    assert shown(capsys, tmp_path / "file") == before


def test_files_of_others_are_shown_in_the_order_of_their_numbers(tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors.numpy")
    entries = {f"layers.{i}.weight": np.zeros((2, 1000), np.float32) for i in (10, 9, 0)}
    safetensors.save_file(entries, tmp_path / "file", {"format": "pt"})
    lines = shown(capsys, tmp_path / "file").splitlines()
    assert "not written by jseq" in lines[0] and lines[1] == "format: pt"
    assert [line.split()[0] for line in lines[4:7]] == ["layers.0.weight", "layers.9.weight", "layers.10.weight"]
    assert lines[-1].split() == ["total", "3", "arrays", "6,000", "24,000"]


def test_what_a_terminal_would_obey_is_written_out(tmp_path, capsys):
    jseq.save(tmp_path / "file", jseq.sequential({"\x1b[2Jé": jseq.relu()}), {"\x1b[2J": {"a\nb": np.ones(1)}})
    out = shown(capsys, tmp_path / "file")
    assert out.replace("\n", "").isprintable() and out.isascii()
    assert r"(\x1b[2J\xe9): relu()" in out and r"params.\x1b[2J.a\nb" in out


def test_a_model_that_is_not_known_hides_no_array(tmp_path, capsys):
    write_tensors(tmp_path / "file", {"params.w": np.ones(3)}, {"model": '{"layer":"my.layer","arguments":{}}'})
    out = shown(capsys, tmp_path / "file")
    assert "the model cannot be shown: no layer is called 'my.layer'" in out and "params.w" in out


def test_a_bad_path_or_file_is_one_line_and_exit_code_1(tmp_path, capsys):
    (tmp_path / "weights.pt").write_bytes(b"PK" + bytes(100))
    for path, reason in (
        ("nowhere", "nowhere: No such file or directory"),
        ("weights.pt", f" For a file of torch's: python -m jseq --torch {tmp_path / 'weights.pt'}."),
        ("", f"{tmp_path} is no file."),
    ):  # fmt: skip
        code, error = shown(capsys, tmp_path / path if path else tmp_path)
        assert code == 1 and error.startswith("python -m jseq: ") and error.endswith(reason + "\n")
        assert error.count("\n") == 1


def test_wrong_usage_is_exit_code_2_and_help_names_the_options(capsys):
    for arguments in ([], ["--unknown", "file"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0 and "--torch" in capsys.readouterr().out


def test_python_dash_m_jseq_runs_it(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "jseq.__main__", raising=False)
    monkeypatch.setattr(sys, "argv", ["jseq", "nowhere"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("jseq", run_name="__main__")
    assert stopped.value.code == 1 and "nowhere" in capsys.readouterr().err


def test_a_missing_torch_is_named_with_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "file").write_bytes(b"")
    assert "it comes with jseq's extra 'torch'" in shown(capsys, "--torch", tmp_path / "file")[1]


def test_state_dicts_of_torch_are_shown_without_their_memory(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, tmp_path / "file")
    lines = shown(capsys, "--torch", tmp_path / "file").splitlines()
    assert lines[1] == "epoch: 3"
    assert "state_dict.0.weight float32 (4, 3) 12 48" in [" ".join(line.split()) for line in lines]
    assert lines[-1].split() == ["total", "7", "arrays", "33", "136"]


def test_a_pickled_module_is_refused_without_running_it(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(3, 4), tmp_path / "file")
    code, error = shown(capsys, "--torch", tmp_path / "file")
    assert code == 1 and "without running its code (UnpicklingError)" in error and error.count("\n") == 1
