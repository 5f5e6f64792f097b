"""Any recurrent module by its dotted path as an architecture of collections."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from aelle.collection.collect import collect
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining
from aelle.config import ConfigError, dump_experiment, parse_experiment
from aelle.modules.architectures import architecture, module_cell
from aelle.records import read_records
from aelle.recurrent.network import Network
from aelle.spectra import lyapunov_spectrum
from aelle.tasks.registry import make_task
from aelle.testing import check_cell
from tests.module_oracles import plain_exponents

ROOT = Path(__file__).parent.parent
F64 = torch.float64


def drive(batch=2, time=70, size=3, seed=0):
    return torch.randn(batch, time, size, dtype=F64, generator=torch.Generator().manual_seed(seed))


class Selective(nn.Module):
    """A selective scan: what it passes on is read from its state by the input, and is no part of it."""

    def __init__(self, input_size, hidden_size, slots=2, floor=0.0):
        super().__init__()
        self.slots, self.hidden, self.floor = slots, hidden_size, floor
        self.gates = nn.Linear(input_size, 2 * slots)
        self.enter = nn.Linear(input_size, hidden_size)

    def forward(self, x, state=None):
        state = x.new_zeros(len(x), self.hidden, self.slots) if state is None else state
        outputs = []
        for one in x.unbind(1):
            keep, read = self.gates(one).chunk(2, -1)
            state = torch.sigmoid(keep + self.floor).unsqueeze(1) * state + self.enter(one).unsqueeze(-1)
            state = state + 0.1 * torch.tanh(state.flip(1))
            outputs.append((state * read.unsqueeze(1)).sum(-1))
        return torch.stack(outputs, 1), state


class Shifted(nn.Module):
    """A cell that begins with ones."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.inner = nn.RNNCell(input_size, hidden_size)

    def initial_state(self, rows):
        return torch.ones(rows, self.inner.hidden_size, dtype=self.inner.weight_hh.dtype)

    def forward(self, x, h):
        return self.inner(x, 1 * h)


class Secretive(nn.Module):
    """A cell that keeps its parameters in a dict of its own too, and runs by those."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.inner = nn.RNNCell(input_size, hidden_size)
        self.kept = {"w": self.inner.weight_hh}

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.inner.hidden_size) if h is None else h
        return torch.tanh(self.inner.weight_ih.sum() * x.sum(-1, keepdim=True) + h @ self.kept["w"].T)


class Scalar(nn.Module):
    def __init__(self, size):
        super().__init__()


class Narrow(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.inner = nn.GRUCell(input_size, 2)

    def forward(self, x, h=None):
        return self.inner(x, h)


HERE = "tests.test_module_cell"
PATHS = ["torch.nn:GRU", "torch.nn:LSTM", "torch.nn:LSTMCell", f"{HERE}:Selective", f"{HERE}:Shifted"]


@pytest.mark.parametrize("path", PATHS)
def test_a_module_meets_the_contract_of_cells(path):
    check_cell(architecture(path))


def test_names_and_cells_are_found_as_before():
    assert architecture("lstm").architecture == "lstm"
    assert architecture("aelle.recurrent.gru:GRU").architecture == "gru"
    assert architecture("torch.nn:GRU") is architecture("torch.nn:GRU")
    with pytest.raises(ValueError, match="did you mean 'lstm'"):
        architecture("lstmm")
    with pytest.raises(ValueError, match=r"is not a subclass of aelle\.recurrent\.cell\.Cell"):
        architecture("torch:add")
    with pytest.raises(ValueError, match="cannot be imported"):
        architecture("no_such_module:Cell")


@pytest.mark.parametrize("path", ["torch.nn:GRU", "torch.nn:LSTM"])
def test_its_spectrum_is_that_of_the_closed_form(path):
    cell = architecture(path)(3, 6, dtype=F64)
    expected = lyapunov_spectrum(cell.module, drive().transpose(0, 1), warmup=30)  # time first, as it comes
    found = lyapunov_spectrum(Network([cell], nn.Linear(6, 2)), drive(), warmup=30)
    torch.testing.assert_close(found.exponents, expected.exponents, rtol=0, atol=1e-8)


def test_an_output_that_is_no_part_of_the_state_has_no_exponents():
    cell = architecture(f"{HERE}:Selective")(3, 4, dtype=F64)
    assert (cell.state_size, cell.carried_size) == (12, 8)
    found = lyapunov_spectrum(cell, drive(), warmup=30)

    def step(x, s):
        return cell.module(x.view(1, 1, 3), s.view(1, 4, 2))[1].flatten()

    expected = plain_exponents(step, drive(), torch.zeros(2, 8, dtype=F64), 30)
    torch.testing.assert_close(found.exponents, expected, rtol=0, atol=1e-8)
    outputs, last = cell.scan(drive(), cell.initial_state(2))
    torch.testing.assert_close(outputs, cell.module(drive())[0])
    torch.testing.assert_close(cell.output(last), outputs[:, -1])


def test_a_state_that_begins_elsewhere_than_at_zero_is_counted_from_there():
    cell = architecture(f"{HERE}:Shifted")(3, 4, dtype=F64)
    after = cell.step(drive()[:, 0], cell.initial_state(2))
    torch.testing.assert_close(cell.output(after), cell.module(drive()[:, 0], torch.ones(2, 4, dtype=F64)))


def test_the_gain_scales_matrices_and_one_is_the_module_as_it_comes():
    cell = architecture("torch.nn:GRU")(3, 4)
    cell.reset_parameters(1 / 2, torch.Generator().manual_seed(3))  # √4 / 2 = 1
    plain = {name: tensor.detach().clone() for name, tensor in cell.named_parameters()}
    assert all(float(tensor.abs().max()) <= 0.5 for tensor in plain.values())
    cell.reset_parameters(3 / 2, torch.Generator().manual_seed(3))
    for name, tensor in cell.named_parameters():
        torch.testing.assert_close(tensor.detach(), plain[name] * (3 if tensor.dim() > 1 else 1))


@pytest.mark.parametrize(
    "kind, message",
    [
        (Scalar, r"cannot be built as Scalar\(3, 4\): TypeError"),
        (Narrow, "passes on 2 numbers where hidden_size is 4"),
        (nn.Linear, r"cannot be read as module\(x, state\)"),
    ],
)
def test_what_cannot_be_such_an_architecture_is_refused_in_one_line(kind, message):
    with pytest.raises(ValueError, match=message) as caught:
        module_cell(kind, "somewhere:Kind")(3, 4)
    assert "\n" not in str(caught.value)


def test_options_are_the_modules_arguments():
    kind = architecture(f"{HERE}:Selective")
    cell = kind(3, 4, slots=3.0, floor=1)
    assert cell.module.slots == 3
    assert isinstance(cell.module.slots, int)
    assert isinstance(cell.module.floor, float)
    with pytest.raises(ValueError, match="has no option 'slot'; known: slots, floor"):
        kind(3, 4, slot=3)


def experiment(**networks):
    content = {
        "name": "tiny",
        "task": {"name": "latch", "options": {"delay": 4, "train": 128, "validation": 32}},
        "networks": {"hidden_size": 6, "per_combination": 2, **networks},
        "training": {"epochs": 1, "batch_size": 64, "workers": 1},
        "spectrum": {"epochs": [0, 1], "sequences": 2, "steps": 20, "warmup": 10},
    }
    return parse_experiment(content)


OWN = '''
import torch
from torch import nn


class Leaky(nn.Module):
    """A leaky cell of somebody who knows nothing of aelle."""

    def __init__(self, input_size, hidden_size, leak=0.5):
        super().__init__()
        self.leak, self.inner = leak, nn.RNNCell(input_size, hidden_size)

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.inner.hidden_size) if h is None else h
        return (1 - self.leak) * h + self.leak * self.inner(x, h)
'''


def test_a_module_by_its_dotted_path_from_the_experiment_file_to_its_records(tmp_path):
    path = "somebodys_modules:Leaky"
    (tmp_path / "somebodys_modules.py").write_text(OWN)
    (tmp_path / "x.toml").write_text(
        dump_experiment(experiment(architecture=["rnn", path], cell_options={path: {"leak": 0.2}}))
    )
    arguments = ["collect", str(tmp_path / "x.toml"), "--output", str(tmp_path / "x"), "--quiet"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "aelle", *arguments]
    done = subprocess.run(command, check=True, timeout=120, env=environment, capture_output=True, text=True)
    assert (
        "somebodys_modules:Leaky of 6 units has no closed form: each step of a spectrum takes 6"
        in done.stderr
    )
    records = read_records(tmp_path / "x")
    assert set(records.architecture) == {"rnn", path}
    assert (records.status == "ok").all()
    assert (records.certificate < 1e-9).all()
    assert all(len(spectrum) == 6 for spectrum in records.spectrum)


def test_layers_of_modules_are_collected_with_their_outputs(tmp_path):
    collect(experiment(architecture=f"{HERE}:Selective", num_layers=2), tmp_path / "x", progress=False)
    records = read_records(tmp_path / "x")
    assert (records.status == "ok").all()
    assert all(list(sizes) == [12, 12] for sizes in records.layer_sizes)
    assert all(len(spectrum) == 24 for spectrum in records.spectrum)


def test_a_module_that_cannot_be_is_refused_before_anything_trains(tmp_path):
    with pytest.raises(ConfigError, match="passes on 2 numbers where hidden_size is 6"):
        collect(experiment(architecture=f"{HERE}:Narrow"), tmp_path / "x", progress=False)


@pytest.mark.parametrize("path", ["torch.nn:GRU", f"{HERE}:Selective"])
def test_both_backends_train_a_module_alike(path):
    task = make_task("latch", {"delay": 4, "train": 160, "validation": 50})
    cohort = Cohort(tuple(variants(experiment(architecture=path, learning_rate=0.01))))
    for one, other in zip(NativeTraining(cohort, task, 2), PopulationTraining(cohort, task, 2), strict=True):
        for a, b in zip(one.trainees, other.trainees, strict=True):
            assert (a.error, b.error) == (None, None)
            assert b.val_loss == pytest.approx(a.val_loss, abs=1e-3)


def test_a_module_whose_parameters_cannot_be_exchanged_is_refused_by_the_population_in_one_line():
    task = make_task("latch", {"delay": 4, "train": 160, "validation": 50})
    cohort = Cohort(tuple(variants(experiment(architecture=f"{HERE}:Secretive"))))
    assert all(t.error is None for epoch in NativeTraining(cohort, task, 1) for t in epoch.trainees)
    (epoch, *_) = PopulationTraining(cohort, task, 1)
    assert all("use training.backend = 'native'" in t.error for t in epoch.trainees)
