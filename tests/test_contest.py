"""The contest of starts: the starts are what their papers say, and its tables follow from the networks' lines."""

import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "experiments" / "condition"
MODULES = ("cells", "entrants", "starts", "contest", "summarise")


@pytest.fixture
def contest(monkeypatch):
    """The modules of the contest, which import each other as scripts beside each other do."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


def begun(contest, start, architecture, size=16):
    """A network of 3 inputs begun so, the inputs, and the same network with torch's default weights."""
    data = contest["contest"].make_task("latch", {"symbols": 3, "delay": 9, "train": 64})
    number = (16, 32).index(size)
    before = contest["contest"].untrained(data, "t", architecture, number)
    after = contest["contest"].untrained(data, "t", architecture, number)
    inputs = data.encode(data.train.inputs)
    contest["starts"].STARTS[start](after, inputs, 40, torch.Generator().manual_seed(0))
    return after.layers[0], inputs, before.layers[0]


@pytest.mark.parametrize("architecture", ["rnn", "relu_rnn", "gru", "lstm"])
def test_orthogonal_and_identity_are_so_gate_by_gate(contest, architecture):
    for start in ("orthogonal", "identity"):
        cell, _, before = begun(contest, start, architecture)
        blocks = torch.stack(cell.weight_hh.split(16)).double()
        torch.testing.assert_close(
            blocks.mT @ blocks, torch.eye(16).double().expand_as(blocks), atol=1e-5, rtol=0
        )
        assert torch.equal(cell.weight_ih, before.weight_ih)
        assert not cell.bias_ih.any()
        assert not cell.bias_hh.any()
    assert torch.equal(blocks, torch.eye(16).double().expand_as(blocks))


@pytest.mark.parametrize("architecture, keeping, writing", [("gru", 1, None), ("lstm", 1, 0)])
def test_chrono_and_forget_bias_set_the_gate_that_keeps(contest, architecture, keeping, writing):
    cell, _, before = begun(contest, "forget bias 1", architecture)
    biases = (cell.bias_ih + cell.bias_hh).split(16)
    untouched = (before.bias_ih + before.bias_hh).split(16)
    assert torch.equal(biases[keeping], torch.ones(16))
    assert all(
        torch.equal(b, u) for i, (b, u) in enumerate(zip(biases, untouched, strict=True)) if i != keeping
    )
    assert torch.equal(cell.weight_hh, before.weight_hh)
    cell, _, _ = begun(contest, "chrono", architecture, size=32)
    biases = (cell.bias_ih + cell.bias_hh).split(32)
    times = biases[keeping].exp()
    assert times.min() >= 1
    assert times.max() <= 39
    # 32 draws of U(1, 39): their mean is 20 with a standard error of 1.94.
    assert times.mean().item() == pytest.approx(20, abs=4 * 1.94)
    if writing is not None:
        assert torch.equal(biases[writing], -biases[keeping])


@pytest.mark.parametrize("architecture", ["rnn", "gru", "lstm"])
def test_unit_variance_gives_pre_activations_of_variance_one(contest, architecture):
    cell, inputs, _ = begun(contest, "unit variance", architecture)
    for block in cell.weight_ih.split(16):
        assert (inputs @ block.mT).std().item() == pytest.approx(1, abs=1e-4)
    hidden = cell.scan(inputs, cell.initial_state(len(inputs)))[0]
    for block in cell.weight_hh.split(16):
        assert (hidden @ block.mT).std().item() == pytest.approx(1, abs=0.1)


def test_methods_see_the_same_networks(contest):
    data = contest["contest"].make_task("latch", {"delay": 4, "train": 32})
    one, other = (contest["contest"].untrained(data, "latch 24", "gru", 3) for _ in range(2))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert one.layers[0].hidden_size == 32
    assert max(p.abs().max() for p in one.parameters()) <= 32**-0.5


def line(network, metrics, method="torch default", begin=0.0, train=12.0, architecture="rnn"):
    return {
        "task": "latch 24",
        "architecture": architecture,
        "method": method,
        "network": network,
        "hidden_size": 16,
        "metrics": metrics,
        "begin_seconds": begin,
        "train_seconds": train,
        "said": "",
    }


def test_what_a_method_spends_before_training_is_taken_off_its_epochs(contest, tmp_path):
    late = [0.1] * 11 + [0.5, 0.95]  # solved in the last of 12 epochs
    early = [0.1, 0.1, 0.95] + [0.8] * 10  # in the second, and lost again
    lines = [line(0, late), line(1, early), line(2, [0.1, None] + [None] * 11)]
    lines += [line(n, m, "scaled", begin=1.6) for n, m in enumerate([late, early])]
    (tmp_path / "latch-24.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"task": "torn')
    summarise = contest["summarise"]
    found = summarise.cells(tmp_path)
    default, scaled = (found["latch 24", "rnn", m] for m in ("torch default", "scaled"))
    assert [default[n]["solved"] for n in range(3)] == [1, 1, 0]
    assert [default[n]["metric"] for n in range(3)] == [0.95, 0.8, 0.0]
    # 1.6 of 12 seconds are 1.6 epochs of 12: two are taken off, and 10 are left.
    assert [scaled[n]["solved"] for n in range(2)] == [0, 1]
    assert scaled[1]["when"] == pytest.approx(2 + 1.6)
    assert scaled[0]["metric"] == 0.1
    lead = summarise.compared(
        {("rnn", n): o for n, o in scaled.items()}, {("rnn", n): o for n, o in default.items()}, "solved"
    )
    assert lead[0] == -0.5


def test_a_second_seed_has_half_the_epochs_for_each_of_two(contest, tmp_path):
    solved = [0.1] * 5 + [0.95] * 8  # in the fifth epoch of 12
    failed, too_late = [0.1] * 13, [0.1] * 7 + [0.95] * 6
    lines = [line(0, failed), line(1, too_late), line(2, solved), line(3, failed)]
    (tmp_path / "latch-24.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = contest["summarise"].cells(tmp_path)["latch 24", "rnn", "second seed"]
    assert [found[n]["solved"] for n in range(4)] == [1, 0, 1, 0]


def test_over_all_architectures_a_method_has_its_stand_in(contest, tmp_path):
    good, bad = [0.1] * 6 + [0.95] * 7, [0.1] * 13
    lines = [line(0, bad), line(0, good, "orthogonal"), line(0, bad, architecture="lstm")]
    lines += [line(0, bad, "orthogonal", architecture="lstm"), line(0, good, "chrono", architecture="lstm")]
    (tmp_path / "latch-24.jsonl").write_text("\n".join(map(json.dumps, lines)))
    summarise = contest["summarise"]
    found = summarise.cells(tmp_path)
    chrono = summarise.networks_of(found, "latch 24", "all", "chrono")
    assert {key: o["solved"] for key, o in chrono.items()} == {("rnn", 0): 1, ("lstm", 0): 1}
    assert not summarise.networks_of(found, "latch 24", "rnn", "chrono")


def test_the_contest_goes_on_where_it_stopped(contest, tmp_path, monkeypatch):
    cells, script = contest["cells"], contest["contest"]
    tiny = cells.ContestTask("tiny", "latch", {"delay": 3, "train": 64, "validation": 16}, 2, 0.9, 3)
    monkeypatch.setitem(cells.TASKS, "tiny", tiny)
    arguments = [
        "contest.py",
        str(tmp_path),
        "--networks",
        "1",
        "--tasks",
        "tiny",
        "--methods",
        "torch default",
        "chrono",
    ]
    monkeypatch.setattr("sys.argv", arguments)
    script.main()
    path = tmp_path / "tiny.jsonl"
    whole = path.read_text()
    assert len(whole.splitlines()) == 4 + 2  # chrono is for gated architectures
    rows = list(map(json.loads, whole.splitlines()))
    assert all(len(row["metrics"]) == 3 and math.isfinite(row["metrics"][-1]) for row in rows)
    path.write_text("".join(f"{text}\n" for text in whole.splitlines()[:4]) + whole.splitlines()[4][:50])
    script.main()
    again = list(script.rows(tmp_path))
    assert [(r["architecture"], r["method"], r["metrics"]) for r in again] == [
        (r["architecture"], r["method"], r["metrics"]) for r in rows
    ]
