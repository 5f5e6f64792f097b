"""Zero-cost proxies against closed forms and plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aelle.proxies import (
    Batch,
    correlation_score,
    gradient_norm,
    hidden_covariance,
    jacobian_cosine,
    jacobian_covariance,
    number_of_parameters,
    power_law_alpha,
    proxies,
    synaptic_saliency,
)
from aelle.proxies.power_law_alpha import alpha_of
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.network import Network

K = 1e-5


def test_correlation_score_of_rows_that_are_all_alike_and_of_rows_without_correlation():
    alike = torch.arange(5.0).repeat(4, 1)
    expected = -(math.log(4 + K) + 1 / (4 + K)) - 3 * (math.log(K) + 1 / K)
    assert correlation_score(alike) == pytest.approx(expected, rel=1e-6)
    # Columns of a Hadamard matrix but the constant one: every row has mean 0, no two are correlated.
    hadamard = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    assert correlation_score(hadamard) == pytest.approx(-3 * (math.log(1 + K) + 1 / (1 + K)), rel=1e-12)


def test_correlation_score_follows_from_numpys_correlations():
    rows = torch.randn(6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eigenvalues = np.linalg.eigvals(np.corrcoef(rows.numpy())).real
    expected = -np.sum(np.log(eigenvalues + K) + 1 / (eigenvalues + K))
    for score in (correlation_score, hidden_covariance, jacobian_covariance):
        assert score(rows) == pytest.approx(expected, rel=1e-9)
    assert jacobian_covariance(rows.view(6, 3, 3)) == pytest.approx(expected, rel=1e-9)


def test_a_constant_row_correlates_with_none_and_what_is_not_finite_has_no_score():
    rows = torch.tensor([[1.0, 1, 1], [1, 2, 3]])
    assert correlation_score(rows) == pytest.approx(-2 * (math.log(1 + K) + 1 / (1 + K)), rel=1e-12)
    assert math.isnan(correlation_score(torch.tensor([[1.0, math.inf], [1, 2]])))
    assert math.isnan(jacobian_cosine(torch.tensor([[1.0, math.nan], [1, 2]])))
    for refused in (correlation_score, jacobian_cosine):
        with pytest.raises(ValueError, match="two"):
            refused(torch.ones(1, 3))


def test_jacobian_cosine_is_0_for_gradients_alike_and_1_at_right_angles():
    assert jacobian_cosine(torch.ones(3, 2, 4)) == pytest.approx(0.0, abs=1e-12)
    assert jacobian_cosine(torch.eye(4)) == 1.0
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 4.0])  # cosine 0.6
    assert jacobian_cosine(torch.stack([a, b])) == pytest.approx(1 - 0.6**0.05, rel=1e-6)
    assert jacobian_cosine(1e-200 * torch.stack([a, b]).double()) == pytest.approx(1 - 0.6**0.05, rel=1e-6)


def test_gradient_norm_of_a_linear_regression():
    model = nn.Linear(2, 1).double()
    x, y = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 1, dtype=torch.float64)
    error = model(x) - y
    expected = torch.cat([2 * (error * x).mean(0), 2 * error.mean(0)]).detach().norm()
    assert gradient_norm(model, error.square().mean()) == pytest.approx(float(expected))
    unread = nn.ModuleList([model, nn.Linear(3, 3)])
    assert gradient_norm(unread, (model(x) - y).square().mean()) == pytest.approx(float(expected))
    assert gradient_norm(nn.Identity(), torch.zeros(())) == 0.0


def test_saliency_of_linear_layers_is_their_number_times_the_response():
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    first, second = (layer.weight.detach().double().abs() for layer in model)
    response = float((second @ first).sum()) * 5  # five rows of ones
    found = synaptic_saliency(model, torch.zeros(5, 3), lambda m, x: m(x))
    assert found == pytest.approx(math.log(2 * response))
    with torch.no_grad():
        model[0].weight.zero_()
    assert synaptic_saliency(model, torch.zeros(5, 3), lambda m, x: m(x)) == -math.inf


def test_saliency_of_a_recurrent_relu_network_by_finite_differences():
    model = nn.RNN(2, 3, nonlinearity="relu", batch_first=True, bias=False).double()
    found = synaptic_saliency(model, torch.zeros(1, 4, 2), lambda m, x: m(x)[0][:, -1])

    def response(scale):
        w, u = scale * model.weight_ih_l0.abs(), scale * model.weight_hh_l0.abs()
        h = torch.zeros(3, dtype=torch.float64)
        for _ in range(4):
            h = torch.relu(w @ torch.ones(2, dtype=torch.float64) + u @ h)
        return float(h.sum())

    # Σ θ ∂R/∂θ is the derivative of R as all parameters are scaled together.
    expected = (response(1 + 1e-6) - response(1 - 1e-6)) / 2e-6
    assert found == pytest.approx(math.log(expected), abs=1e-6)


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.5])
def test_alpha_of_exact_quantiles_of_a_power_law(alpha):
    shares = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    values = (1 - shares) ** (1 / (1 - alpha))
    assert alpha_of(values) == pytest.approx(alpha, rel=0.02)


def test_alpha_begins_where_the_power_law_begins():
    shares = (torch.arange(500, dtype=torch.float64) + 0.5) / 500
    tail = 10 * (1 - shares) ** (1 / (1 - 3.0))
    body = torch.linspace(0.01, 10, 501, dtype=torch.float64)[:-1]
    assert alpha_of(torch.cat([body, tail])) == pytest.approx(3.0, rel=0.1)


def test_alpha_of_a_matrix_is_that_of_its_squared_singular_values():
    values = (1 - (torch.arange(64, dtype=torch.float64) + 0.5) / 64) ** -0.5
    rotation = torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64))[0]
    layer = nn.Linear(64, 64).double()
    with torch.no_grad():
        layer.weight.copy_(rotation * values.sqrt())
    assert power_law_alpha(layer) == pytest.approx(alpha_of(values), rel=1e-9)
    assert math.isnan(power_law_alpha(nn.Linear(3, 3)))
    with torch.no_grad():
        layer.weight[0, 0] = math.nan
    assert math.isnan(power_law_alpha(layer))


def test_all_proxies_of_a_network_leave_it_as_it_was():
    torch.manual_seed(0)
    network = Network([LSTM(2, 12)], nn.Linear(12, 3))
    before = [parameter.clone() for parameter in network.parameters()]
    target = torch.tensor([0, 1, 2, 0])

    def run(model, inputs):
        hidden, _ = model.layers[0].scan(inputs, model.layers[0].initial_state(len(inputs)).to(inputs))
        return hidden, model.readout(hidden[:, -1:])

    batch = Batch(torch.randn(4, 5, 2), run, lambda y: nn.functional.cross_entropy(y[:, -1], target))
    found = proxies(network, batch)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(math.isfinite(value) for value in found.values())
    count = 4 * 12 * (2 + 12) + 4 * 12 * sum("bias" in n for n, _ in network.cells[0].named_parameters()) + 39
    assert number_of_parameters(network) == count
    assert found["parameters"] == pytest.approx(math.log(count))
    hidden, outputs = run(network, batch.inputs)
    loss = batch.loss(outputs)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
    assert found["gradient_norm"] == pytest.approx(math.log(float(norm)), rel=1e-5)
    assert found["hidden_covariance"] == hidden_covariance(hidden[:, -1])
