"""What the engine does at the edges: nested frames, tolerances that cannot be met, overflow, interrupts."""

import math
import threading
import time

import pytest
import torch
from torch import nn

from aelle.lyapunov.covariant import CovariantVectors
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.workers import map_rows, stop_if_cancelled
from aelle.spectra import DrivenMap, leading_exponents, lyapunov_spectrum
from tests.systems import henon

F64 = torch.float64


@pytest.mark.parametrize("seed", [None, 3])
def test_the_first_directions_of_a_frame_are_those_of_every_larger_one(seed):
    def frame(k):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return random_frame(40, k, F64, torch.device("cpu"), generator)

    for k in (1, 3, 16, 17):
        signs = (frame(k) * frame(40)[:k]).sum(-1, keepdim=True).sign()
        torch.testing.assert_close(frame(k) * signs, frame(40)[:k], rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("layers", [1, 2])
def test_leading_exponents_are_those_of_the_full_run(layers, seed):
    torch.manual_seed(0)
    net = nn.GRU(3, 24, num_layers=layers, batch_first=True)
    inputs = torch.randn(2, 150, 3)

    def spectrum(k):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return lyapunov_spectrum(net, inputs, k=k, generator=generator).exponents

    for k in (1, 2, 5):
        torch.testing.assert_close(spectrum(k), spectrum(None)[:k], rtol=0, atol=1e-9)


def test_a_map_that_leaves_every_bound_has_infinite_exponents():
    # One row, and no other whose numbers could stand in for it.
    start = torch.tensor([2.0, 2.0])
    for interval in ("auto", 1, 4):
        gone = lyapunov_spectrum(henon(), steps=200, initial_state=start, qr_interval=interval)
        assert (gone.exponents == math.inf).all()
        assert gone.trusted == 0
        assert gone.diverged == 1
    assert (
        lyapunov_spectrum(henon(), steps=200, initial_state=start, tolerance=1e-2).exponents == math.inf
    ).all()


def test_a_tolerance_needs_finite_exponents_to_hold():
    silent = nn.RNN(2, 4, batch_first=True)
    with torch.no_grad():
        silent.weight_hh_l0.zero_()
    spectrum = lyapunov_spectrum(silent, torch.randn(2, 300, 2), tolerance=1e-3)
    assert (spectrum.exponents == -math.inf).all()
    with pytest.raises(ValueError, match="steps would be needed"):
        lyapunov_spectrum(henon(), torch.zeros(1, 102, 1), warmup=100, tolerance=1e-9)


def test_angles_of_a_millionth_of_a_millionth_are_not_zero():
    small = 1e-12
    u, v, w = [1.0, 0.0, 0.0], [math.cos(small), math.sin(small), 0.0], [0.0, 0.0, 1.0]
    vectors = torch.tensor([u, v, w], dtype=F64).T.view(1, 1, 3, 3)
    covariant = CovariantVectors(vectors, torch.zeros(1, 1, 3, dtype=F64), torch.zeros(1, 0, 3, dtype=F64))
    angles = covariant.angles()[0, 0]
    assert float(angles[0, 1]) == pytest.approx(small, rel=1e-12)
    assert float(angles[1, 0]) == pytest.approx(small, rel=1e-12)
    assert float(angles[0, 2]) == pytest.approx(math.pi / 2)
    assert float(covariant.splitting_angle(1)[0, 0]) == pytest.approx(small, rel=1e-3)
    flipped = CovariantVectors(-vectors, covariant.states, covariant.local_exponents)
    torch.testing.assert_close(flipped.angles(), covariant.angles())


def test_an_interrupt_ends_the_workers_too():
    before, ended, began = torch.get_num_threads(), [], threading.Event()
    torch.set_num_threads(2)

    def run(start, stop):
        if start == 0:
            began.wait()
            raise KeyboardInterrupt
        began.set()
        try:
            for _ in range(3000):
                stop_if_cancelled()
                time.sleep(0.01)
        finally:
            ended.append(stop)
        return stop

    try:
        with pytest.raises(KeyboardInterrupt):
            map_rows(run, 2, 2, 10**9, False)
        assert ended == [2]  # by the time the exception is here, not half a minute later
    finally:
        torch.set_num_threads(before)


def test_an_interrupted_run_stops_between_its_steps():
    before, counted = torch.get_num_threads(), []
    torch.set_num_threads(2)
    watched = threading.Event()

    def step(x, s):
        counted.append(1)
        if len(counted) > 2000 and not watched.is_set():
            watched.set()
            raise KeyboardInterrupt
        return torch.cos(s) + x

    try:
        with pytest.raises(KeyboardInterrupt):
            lyapunov_spectrum(DrivenMap(step, 3), torch.randn(2, 6000, 1, dtype=F64))
        seen = len(counted)
        time.sleep(0.2)
        assert len(counted) == seen
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_gradients_of_a_network_with_dead_units_are_finite(k):
    torch.manual_seed(0)
    net = nn.RNN(2, 8, nonlinearity="relu", batch_first=True).double()
    inputs = torch.randn(2, 40, 2, dtype=F64)
    exponents = leading_exponents(net, inputs, k, warmup=10)
    finite = exponents.isfinite()
    assert finite[:2].all()
    exponents[finite].sum().backward()
    moved = [parameter for parameter in net.parameters() if parameter.grad is not None]
    assert all(parameter.grad.isfinite().all() for parameter in moved)
    weight, slope = net.weight_hh_l0, float(net.weight_hh_l0.grad[1, 2])
    with torch.no_grad():
        values = []
        for change in (1e-6, -2e-6):
            weight[1, 2] += change
            values.append(float(leading_exponents(net, inputs, k, warmup=10)[finite].sum()))
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-5)


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_network_trained_on_is_measured_as_it_is_now(make):
    torch.manual_seed(0)
    net = make(2, 6, batch_first=True)
    inputs, later = torch.randn(2, 80, 2), torch.randn(2, 60, 2)
    spectrum = lyapunov_spectrum(net, inputs)
    before = [state.clone() for state in spectrum.position.states]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4)
    spectrum.continue_(later, accumulate=False)
    fresh = lyapunov_spectrum(net, later, warmup=0, initial_state=before[0])
    # The sum does not depend on the frame that either began with.
    assert float(spectrum.exponents.sum()) == pytest.approx(float(fresh.exponents.sum()), rel=1e-9)
    assert spectrum.steps == 60


def test_a_state_at_rest_on_an_unstable_point_is_said():
    logistic = DrivenMap(lambda x, s: 4 * s * (1 - s), 1)
    free = lyapunov_spectrum(logistic, steps=5000, initial_state=torch.tensor([0.3]))
    assert float(free.exponents[0]) == pytest.approx(math.log(2), abs=5e-3)
    # Where a user puts it there, the exponent is that of the point, ln 4, and it is said.
    stuck = lyapunov_spectrum(logistic, steps=500)
    assert float(stuck.exponents[0]) == pytest.approx(math.log(4))
    assert not stuck.converged
    assert any("rests at an unstable point" in doubt for doubt in stuck.doubts)
    torch.manual_seed(0)
    net = nn.RNN(1, 60, batch_first=True, bias=False)
    with torch.no_grad():
        net.weight_hh_l0.normal_(std=2 / 60**0.5)
    silent = lyapunov_spectrum(net, torch.zeros(1, 400, 1), k=1)
    assert not silent.converged
    assert any("rests at an unstable point" in doubt for doubt in silent.doubts)
    # A stable fixed point is where a system belongs.
    calm = lyapunov_spectrum(DrivenMap(lambda x, s: 0.5 * s, 1), steps=2000, initial_state=torch.zeros(1))
    assert not any("rests" in doubt for doubt in calm.doubts)


def test_an_exploding_relu_network_is_told_to_take_fewer_steps():
    torch.manual_seed(0)
    module = torch.nn.RNN(3, 16, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(12)
    inputs = torch.randn(1, 2500, 3)
    gone, shorter = lyapunov_spectrum(module, inputs), lyapunov_spectrum(module, inputs[:, :300])
    assert gone.exponents[0] == math.inf
    assert any("take fewer steps" in doubt for doubt in gone.doubts)
    # All state is large: the map is h' = relu(W h), and the state itself grows at the leading rate.
    with torch.no_grad():
        states = module.double()(inputs[:, :300].double())[0][0]
    growth = float((states[-1].amax() / states[99].amax()).log()) / 200
    assert abs(float(shorter.exponents[0]) - growth) < 5e-3
