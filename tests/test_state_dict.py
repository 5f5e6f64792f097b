"""Checkpoints: what torch and safetensors files hold is found by name and shape, and what cannot be told is refused."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import aelle
from aelle.modules.state_dict import CheckpointError, read_state_dict, recurrent_modules

LAYERED = [
    nn.LSTM(3, 5), nn.GRU(3, 5), nn.RNN(3, 5), nn.RNN(3, 5, nonlinearity="relu"), nn.LSTM(5, 5), nn.GRU(5, 5),
    nn.LSTM(3, 5, num_layers=3), nn.GRU(3, 5, bidirectional=True, num_layers=2), nn.LSTM(3, 6, proj_size=2),
    nn.LSTM(3, 6, proj_size=2, num_layers=2, bidirectional=True), nn.LSTM(3, 5, bias=False), nn.GRU(1, 1),
    nn.LSTM(4, 1), nn.RNN(3, 5, bias=False, num_layers=2),
]  # fmt: skip
CELLS = [nn.LSTMCell(3, 5), nn.GRUCell(3, 5), nn.RNNCell(3, 5), nn.GRUCell(5, 5, bias=False)]


def settings(module):
    names = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "bidirectional",
        "proj_size",
        "mode",
        "nonlinearity",
    )
    return type(module), {name: getattr(module, name, None) for name in names}


@pytest.mark.parametrize("module", LAYERED + CELLS, ids=repr)
@pytest.mark.parametrize("prefix", ["", "encoder.rnn.", "_orig_mod.module."])
def test_a_module_is_found_again_as_it_was(module, prefix):
    tensors = {prefix + name: tensor for name, tensor in module.state_dict().items()}
    tensors |= {"head.weight": torch.randn(2, 5), "embedding.weight": torch.randn(9, 3)}
    chosen = getattr(module, "nonlinearity", "tanh")
    found = recurrent_modules(tensors, chosen)
    assert list(found) == [prefix.rstrip(".")]
    (again,) = found.values()
    assert settings(again) == settings(module)
    assert all(
        torch.equal(a, b.double()) for a, b in zip(again.parameters(), module.parameters(), strict=True)
    )


@pytest.mark.parametrize("module", [nn.LSTM(3, 5), nn.LSTM(3, 5, num_layers=2), nn.LSTMCell(3, 5)], ids=repr)
def test_its_spectrum_is_that_of_the_module(module):
    (again,) = recurrent_modules(module.state_dict()).values()
    sequences = [torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))]
    given = sequences if isinstance(module, nn.RNNBase) else torch.stack(sequences)
    torch.testing.assert_close(
        aelle.lyapunov_spectrum(again, given).exponents, aelle.lyapunov_spectrum(module, given).exponents
    )


def test_several_modules_are_found_by_their_places():
    model = nn.ModuleDict(
        {"encoder": nn.GRU(3, 5), "decoder": nn.ModuleList([nn.LSTMCell(5, 4), nn.LSTMCell(4, 4)])}
    )
    found = recurrent_modules(model.state_dict())
    assert {place: type(module).__name__ for place, module in found.items()} == {
        "encoder": "GRU", "decoder.0": "LSTMCell", "decoder.1": "LSTMCell",
    }  # fmt: skip


def spoilt(module, **changes):
    tensors = dict(module.state_dict())
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    return tensors


REFUSED = [
    (nn.RNN(3, 5).state_dict(), "no parameter tells whether of tanh or relu; say it with --nonlinearity"),
    (nn.RNNCell(3, 5).state_dict(), "say it with --nonlinearity"),
    (nn.Linear(3, 5).state_dict(), "no parameter is named weight_ih_l0"),
    ({}, "no parameter is named weight_ih_l0"),
    (spoilt(nn.LSTM(3, 5), weight_ci=torch.randn(5)), "has weight_ci, which no module of torch.nn has"),
    (spoilt(nn.LSTM(3, 5), weight_hh_l0=None), "has no weight_hh_l0"),
    (spoilt(nn.LSTM(3, 5), bias_hh_l0=None), "bias_hh_l0 has shape none"),
    (spoilt(nn.LSTM(3, 5), weight_hh_l0=torch.randn(10, 5)), "has 2 rows per unit"),
    (spoilt(nn.LSTM(3, 5), weight_hh_l0=torch.randn(20, 7)), "rows per unit"),
    (spoilt(nn.LSTM(3, 5), weight_ih_l0=torch.randn(15, 3)), "weight_ih_l0 has shape (15, 3)"),
    (spoilt(nn.LSTM(3, 5), weight_hh_l0=torch.randn(20)), "is none of torch.nn's"),
    (spoilt(nn.LSTM(3, 5), weight_hh_l0=torch.ones(20, 5, dtype=torch.int8)), "torch.int8 is none"),
    (spoilt(nn.LSTM(3, 5, num_layers=3), weight_hh_l1=None), "weight_hh_l1 has shape none"),
    (spoilt(nn.LSTM(3, 5), weight_ih_l999999999=torch.randn(20, 5)), "the numbers 0, 999999999, not 0, 1"),
    (
        spoilt(nn.GRU(3, 5, bidirectional=True), weight_hh_l0_reverse=None),
        "weight_hh_l0_reverse has shape none",
    ),
    (spoilt(nn.GRU(3, 5), weight_ih=torch.randn(15, 3)), "has"),
    (parametrizations.weight_norm(nn.LSTM(3, 5), "weight_hh_l0").state_dict(), "derived from others"),
    (parametrizations.orthogonal(nn.GRU(5, 5), "weight_hh_l0").state_dict(), "derived from others"),
    (prune.l1_unstructured(nn.LSTM(3, 5), "weight_hh_l0", 0.5).state_dict(), "derived from others"),
]


@pytest.mark.parametrize(("tensors", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_told_is_refused_in_one_line(tensors, message):
    with pytest.raises(CheckpointError) as error:
        recurrent_modules(tensors)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_of_both_kinds_are_read(tmp_path):
    module = nn.LSTM(3, 5)
    save_file(module.state_dict(), tmp_path / "m.safetensors")
    torch.save(module.state_dict(), tmp_path / "m.pt")
    training = {"epoch": 3, "state_dict": {f"lstm.{n}": t for n, t in module.state_dict().items()}}
    torch.save(
        training | {"optimizer_states": [torch.optim.Adam(module.parameters()).state_dict()]},
        tmp_path / "m.ckpt",
    )
    for name in ("m.safetensors", "m.pt", "m.ckpt"):
        (found,) = recurrent_modules(read_state_dict(tmp_path / name)).values()
        assert all(
            torch.equal(a, b.double()) for a, b in zip(found.parameters(), module.parameters(), strict=True)
        )


class Evil:
    def __reduce__(self):
        return print, ("code of the file ran",)


def test_no_file_runs_code(tmp_path, capsys):
    for name, content in (("a.pt", {"weight_ih": Evil()}), ("b.pt", nn.LSTM(3, 5))):
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=r"save model\.state_dict\(\) alone"):
            read_state_dict(tmp_path / name)
    (tmp_path / "c.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        read_state_dict(tmp_path / "c.pt")
    assert "code of the file ran" not in capsys.readouterr().out


def test_files_that_hold_nothing_are_refused_in_one_line(tmp_path):
    torch.save({"head.weight": torch.ones(2)}, tmp_path / "head.pt")
    torch.save(torch.ones(2), tmp_path / "tensor.pt")
    (tmp_path / "junk.pt").write_text("junk")
    (tmp_path / "junk.safetensors").write_text("junk")
    both = {"model": nn.GRU(3, 5).state_dict(), "average": nn.GRU(3, 5).state_dict()}
    torch.save(both, tmp_path / "both.pt")
    for name, key, message in (
        ("none.pt", None, "no such file"),
        ("", None, "is a folder"),
        ("head.pt", None, "no recurrent layer: no parameter is named weight_ih_l0 or weight_ih, as torch names them; it has head"),
        ("tensor.pt", None, "holds a Tensor"),
        ("junk.pt", None, "not readable as a checkpoint"),
        ("junk.safetensors", None, "not readable as a checkpoint"),
        ("both.pt", None, "name one with --key: model, average"),
        ("both.pt", "modell", "no parameters under 'modell'; did you mean 'model'?"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError) as error:
            read_state_dict(tmp_path / name, key)
        assert message in str(error.value), name
        assert "\n" not in str(error.value)
    assert torch.equal(
        read_state_dict(tmp_path / "both.pt", "average")["weight_hh_l0"], both["average"]["weight_hh_l0"]
    )
