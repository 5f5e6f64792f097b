"""Taking a spectrum in the middle of training leaves training as it would have been without."""

import pytest
import torch

from aelle import covariant_lyapunov_vectors, leading_exponents, lyapunov_spectra, lyapunov_spectrum

MODULES = {
    "rnn": lambda: torch.nn.RNN(2, 4, batch_first=True),
    "lstm": lambda: torch.nn.LSTM(2, 4, num_layers=2, batch_first=True),
    "gru cell": lambda: torch.nn.GRUCell(2, 4),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("take", [
    lyapunov_spectrum,
    lambda module, inputs: lyapunov_spectra([module], inputs),
    lambda module, inputs: leading_exponents(module, inputs, k=1),
    covariant_lyapunov_vectors,
], ids=["spectrum", "spectra", "leading", "covariant"])  # fmt: skip
def test_random_state_and_parameters_stay(name, take):
    torch.manual_seed(0)
    module, inputs = MODULES[name](), torch.randn(2, 260, 2)
    if name == "lstm" and take is not lyapunov_spectrum:
        module = torch.nn.LSTM(2, 4, batch_first=True)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = torch.get_rng_state()
    take(module, inputs)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
