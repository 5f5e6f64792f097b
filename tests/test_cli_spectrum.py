"""`aelle spectrum CHECKPOINT`: what it prints is what `lyapunov_spectrum` finds; mistakes are one line and exit code 2."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import aelle as package


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"encoder": nn.LSTM(3, 6, num_layers=2), "decoder": nn.GRU(4, 5, bidirectional=True)}
    )
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt", model


def found(aelle, *arguments):
    code, output, errors = aelle("spectrum", *arguments, "--json")
    assert code == 0, errors
    return json.loads(output)["modules"]


def test_spectra_are_those_of_the_modules_under_the_array_given(aelle, checkpoint, tmp_path):
    file, model = checkpoint
    array = np.random.default_rng(0).standard_normal((2, 90, 3))
    np.save(tmp_path / "x.npy", array)
    seen = found(aelle, file, "--part", "encoder", "--inputs", tmp_path / "x.npy", "--warmup", "30")
    inputs = torch.as_tensor(array).transpose(
        0, 1
    )  # the module was saved without batch_first, which no file tells
    expected = package.lyapunov_spectrum(model["encoder"], inputs, warmup=30)
    assert list(seen) == ["encoder"]
    spectrum = seen["encoder"]["spectra"]["forward"]
    np.testing.assert_allclose(spectrum["exponents"], expected.exponents, rtol=1e-9)
    assert (spectrum["sequences"], spectrum["steps"], spectrum["warmup"]) == (2, 60, 30)
    np.save(tmp_path / "one.npy", array[0])
    one = found(aelle, file, "--part", "encoder", "--inputs", tmp_path / "one.npy", "--warmup", "30")
    assert one["encoder"]["spectra"]["forward"]["sequences"] == 1


def test_each_module_and_direction_has_its_own_and_noise_is_the_seeds(aelle, checkpoint):
    short = ("--steps", "40", "--warmup", "30", "--sequences", "2")
    seen = found(aelle, checkpoint[0], *short)
    assert {name: list(m["spectra"]) for name, m in seen.items()} == {
        "encoder": ["forward"], "decoder": ["forward", "backward"],
    }  # fmt: skip
    assert seen["encoder"]["module"] == "LSTM of 6 units, 2 layers, 3 inputs"
    assert found(aelle, checkpoint[0], *short) == seen
    other = found(aelle, checkpoint[0], *short, "--seed", "1")
    assert other["encoder"]["spectra"] != seen["encoder"]["spectra"]
    few = found(aelle, checkpoint[0], *short, "--k", "2", "--part", "encoder", "--state", "hidden")
    assert len(few["encoder"]["spectra"]["forward"]["exponents"]) == 2


def test_words_and_figure(aelle, checkpoint, tmp_path):
    page = tmp_path / "spectrum.html"
    code, output, _ = aelle("spectrum", checkpoint[0], "--steps", "60", "--plot", page)
    assert code == 0
    assert "encoder: LSTM of 6 units, 2 layers, 3 inputs" in output
    assert "backward in time" in output
    assert "contracting; what lies 1/|λ₁| = " in output
    assert output.endswith(f"wrote {page}\n")
    content = page.read_text("utf-8")
    assert content.count("plotly-graph-div") == 3
    assert "<script src=" not in content


def linear(factor):
    rnn = nn.RNN(2, 2, nonlinearity="relu")
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.zero_()
        rnn.weight_hh_l0.copy_(factor * torch.eye(2))
        rnn.bias_ih_l0.fill_(1.0)
    return rnn


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.5, f"λ₁ {math.log(0.5):.4f} ± 0.0000: contracting; what lies 1/|λ₁| = 1.44 steps back"),
        (1.5, f"λ₁ {math.log(1.5):.4f} ± 0.0000: chaotic"),
        (0.0, "forgotten in one step"),
        (1e30, "the state grows beyond all numbers"),
    ],
)
def test_what_the_largest_exponent_means(aelle, tmp_path, factor, words):
    torch.save(linear(factor).state_dict(), tmp_path / "rnn.pt")
    code, output, _ = aelle(
        "spectrum", tmp_path / "rnn.pt", "--nonlinearity", "relu", "--scale", "0", "--steps", "100"
    )
    assert code == 0
    assert words in output


def test_mistakes_are_one_line_and_exit_code_2(aelle, checkpoint, tmp_path):
    file, _ = checkpoint
    torch.save(nn.RNN(3, 4).state_dict(), tmp_path / "rnn.pt")
    torch.save(nn.LSTM(3, 4), tmp_path / "whole.pt")
    np.save(tmp_path / "four.npy", np.zeros((2, 90, 4)))
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    encoder = (file, "--part", "encoder")
    for arguments, message in (
        ((tmp_path / "none.pt",), "no such file"),
        ((tmp_path / "rnn.pt",), "say it with --nonlinearity"),
        ((tmp_path / "whole.pt",), "save model.state_dict() alone"),
        ((file, "--part", "encodr"), "no recurrent module 'encodr'; did you mean 'encoder'?"),
        ((file, "--key", "weights"), "no parameters under 'weights'; known: state_dict"),
        ((*encoder, "--inputs", tmp_path / "none.npy"), "no such file"),
        ((*encoder, "--inputs", tmp_path / "four.npy"), "encoder: inputs have 4 features a step, but the network takes 3"),
        ((*encoder, "--inputs", tmp_path / "words.npy"), "expected numbers of shape"),
        ((*encoder, "--inputs", tmp_path / "pickled.npy"), "not an array of numbers"),
        ((*encoder, "--inputs", tmp_path / "several.npz"), "holds several arrays"),
        ((*encoder, "--inputs", file), "holds several arrays"),
        ((*encoder, "--k", "99"), "k must lie between 1 and the 24 exponents"),
        ((*encoder, "--plot", tmp_path / "x.docx"), "a figure is written as .html"),
    ):  # fmt: skip
        code, output, errors = aelle("spectrum", *arguments)
        assert code == 2, arguments
        assert output == ""
        assert message in errors, errors
        assert len(errors.splitlines()) == 1


def test_no_file_runs_code(aelle, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return print, ("code of the file ran",)

    torch.save({"weight_ih": torch.zeros(3, 1), "note": Evil()}, tmp_path / "evil.pt")
    code, output, errors = aelle("spectrum", tmp_path / "evil.pt")
    assert code == 2
    assert "code of the file ran" not in output + errors
