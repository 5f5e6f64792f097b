"""Recurrent parts of larger models: what drives them is captured in one forward, and the model stays as it was."""

import copy
import warnings

import pytest
import torch
from torch import nn

from aelle import lyapunov_spectrum
from aelle.modules.errors import ModuleError

SEED = 11


class LanguageModel(nn.Module):
    """Embedding, batch norm, dropout, two layers of LSTM, time first; counts its calls."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.lstm = nn.LSTM(6, 5, num_layers=2)
        self.readout = nn.Linear(5, 11)
        self.calls, self.lengths = 0, []

    def embedded(self, tokens):
        return self.drop(self.norm(self.embedding(tokens).mT).mT)

    def forward(self, tokens):
        self.calls += 1
        self.lengths.append(tokens.shape[1])
        return self.readout(self.lstm(self.embedded(tokens).transpose(0, 1))[0])


class EncoderDecoder(nn.Module):
    def __init__(self, changes_state=False):
        super().__init__()
        self.encoder = nn.ModuleDict({"lstm": nn.LSTM(3, 4, batch_first=True)})
        self.decoder = nn.LSTMCell(2, 4)
        self.changes_state = changes_state

    def forward(self, source, target):
        _, (h, c) = self.encoder["lstm"](source)
        h, c = h[0], c[0]
        for x in target.unbind(1):
            h, c = self.decoder(x, (h, c))
            h = 0.5 * h if self.changes_state else h
        return h


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 60, 3, generator=generator), torch.randn(3, 50, 2, generator=generator)


def tokens():
    return torch.randint(11, (3, 80), generator=torch.Generator().manual_seed(2))


def test_the_lstm_of_a_language_model_under_whole_numbers():
    torch.manual_seed(SEED)
    model = LanguageModel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in training mode
        found = lyapunov_spectrum(model, tokens())
    model.eval()
    with torch.no_grad():
        driven = model.embedded(tokens())
    expected = lyapunov_spectrum(model.lstm, driven.transpose(0, 1))
    assert torch.equal(found.exponents, expected.exponents)
    assert [len(layer) for layer in found.layers] == [10, 10]


def test_the_model_stays_as_it_was():
    torch.manual_seed(SEED)
    model = LanguageModel()
    model.embedding.eval()
    fired = []
    model.readout.register_forward_hook(lambda *_: fired.append(1))
    model(tokens()).sum().backward()
    fired.clear()
    before = copy.deepcopy(model.state_dict())
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    calls, lengths, random = model.calls, list(model.lengths), torch.get_rng_state()
    lyapunov_spectrum(model, tokens())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, gradients[name]) for name, p in model.named_parameters())
    assert modes == [module.training for module in model.modules()]
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    assert (model.calls, model.lengths) == (calls, lengths)
    assert torch.equal(torch.get_rng_state(), random)
    assert fired == [1]  # the model's own forward ran once


def test_several_parts_give_a_mapping_and_part_picks_one():
    torch.manual_seed(SEED)
    model, (source, target) = EncoderDecoder(), batch()
    found = lyapunov_spectrum(model, (source, target))
    assert list(found) == ["encoder.lstm", "decoder"]
    assert torch.equal(
        found["encoder.lstm"].exponents, lyapunov_spectrum(model.encoder["lstm"], source).exponents
    )
    with torch.no_grad():
        _, (h, c) = model.encoder["lstm"](source)
    begun = torch.cat([h[0], c[0]], dim=-1)
    alone = lyapunov_spectrum(model.decoder, target, initial_state=begun)
    assert torch.equal(found["decoder"].exponents, alone.exponents)
    picked = lyapunov_spectrum(model, {"source": source, "target": target}, part="decoder")
    assert torch.equal(picked.exponents, alone.exponents)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: lyapunov_spectrum(EncoderDecoder(), batch(), part="encoder.lstn"),
            "did you mean 'encoder.lstm'",
        ),
        (
            lambda: lyapunov_spectrum(EncoderDecoder(True), batch(), part="decoder"),
            "changes the state of decoder",
        ),
        (lambda: lyapunov_spectrum(EncoderDecoder(), batch()[0]), "fails on these inputs .*target"),
    ],
)
def test_one_clear_sentence(call, message):
    with pytest.raises(ModuleError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_hooks_of_a_part_are_obeyed_and_said():
    torch.manual_seed(SEED)
    model, (source, _) = nn.Sequential(nn.Linear(3, 4), nn.GRU(4, 5, batch_first=True)), batch()
    model[1].register_forward_pre_hook(lambda module, args: (3 * args[0], *args[1:]))
    with pytest.warns(UserWarning, match="forward hooks of GRU run"):
        found = lyapunov_spectrum(model, source)
    with torch.no_grad():
        driven = 3 * model[0](source)
    plain = nn.GRU(4, 5, batch_first=True)
    plain.load_state_dict(model[1].state_dict())
    expected = lyapunov_spectrum(plain, driven)
    assert torch.allclose(found.exponents, expected.exponents, atol=1e-6)


def test_a_lightning_module_gives_its_lstm():
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

        def training_step(self, batch, index):
            x, y = batch
            return nn.functional.cross_entropy(self(x), y)

    torch.manual_seed(SEED)
    model, (source, _) = Classifier(), batch()
    found = lyapunov_spectrum(model, (source, torch.zeros(3, dtype=torch.long)))
    assert torch.equal(found.exponents, lyapunov_spectrum(model.lstm, source).exponents)
