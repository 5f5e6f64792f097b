"""How the engine computes: order, intervals, batches, layers, precision, threads, overflow."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aelle.lyapunov.benettin import FrameRun, measure
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.factorise import Workspace, random_frame, split
from aelle.lyapunov.growth import Position
from aelle.recurrent.network import Network
from aelle.recurrent.registry import ARCHITECTURES
from aelle.spectra import DrivenMap, lyapunov_spectra, lyapunov_spectrum
from tests.lyapunov_oracles import mp_exponents

F64 = torch.float64


def module(make, size=12, inputs=3, scale=1.0, layers=1, seed=0):
    torch.manual_seed(seed)
    net = make(inputs, size, num_layers=layers, batch_first=True)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net


def drive(batch=4, time=100, size=3, seed=1):
    return torch.randn(batch, time, size, generator=torch.Generator().manual_seed(seed))


MODULES = [nn.RNN, nn.GRU, nn.LSTM]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_tangent_terms_make_up_the_jacobian(name):
    torch.manual_seed(5)
    cell = ARCHITECTURES[name](3, 6, dtype=F64)
    inputs, frame = drive(4, 9).double(), torch.randn(4, 5, cell.state_size, dtype=F64)
    with torch.no_grad():
        tangent = CellTangent(cell)
        for k in (1, cell.state_size):  # through the weights, and through explicit Jacobians
            segment = tangent.segment(inputs, cell.initial_state(4), 9, k, None)
            chunk, expected = segment.chunk(0, 9), frame
            spare = torch.empty_like(frame), torch.empty_like(frame)
            logs = chunk.run(0, 3, 3, frame, spare, Workspace.of(frame)).sum(0)
            for t in range(9):
                expected = expected @ cell.jacobian(inputs[:, t], segment.states[:, t]).mT
            # The frame after three intervals is W of the telescoped Z = W S_3 S_2 S_1: S comes out of both alike.
            S = torch.linalg.lstsq(chunk.to_state(9, spare[0]).mT, expected.mT).solution
            torch.testing.assert_close(S.diagonal(dim1=-2, dim2=-1).abs(), logs.exp(), rtol=1e-6, atol=1e-12)
            restored = (chunk.to_state(9, spare[0]).mT @ S).mT
            torch.testing.assert_close(restored, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hidden_only", [False, True])
@pytest.mark.parametrize("make", MODULES)
def test_the_first_k_of_a_frame_grow_as_they_do_in_the_full_frame(make, hidden_only):
    cell = Network.from_torch(module(make, size=40)).double().layers[0]
    inputs, tangent = drive().double(), CellTangent(cell, hidden_only)
    frame = random_frame(tangent.size, tangent.size, F64, inputs.device, None).repeat(4, 1, 1)

    def growth(k):
        position = Position([cell.initial_state(4)], [frame[:, :k]])
        with torch.no_grad():
            return measure([tangent], inputs, position, warmup=40, blocks=[30, 30])[0][0].logs

    full = growth(tangent.size)
    for k in (1, 4, 5, 6, 30):  # through the weights, and through explicit Jacobians
        torch.testing.assert_close(growth(k), full[..., :k], rtol=0, atol=1e-8)


@pytest.mark.parametrize("make", MODULES)
def test_k_leading_exponents_are_the_first_of_the_full_spectrum(make):
    # A cell whose units decouple has well separated exponents, in order once the frame has relaxed.
    net = module(make, size=8)
    with torch.no_grad():
        for w in net.weight_hh_l0.chunk(net.weight_hh_l0.shape[0] // 8):
            w.copy_(torch.diag(torch.linspace(2.0, 0.05, 8)))
    full = lyapunov_spectrum(net, 0.1 * drive(4, 400), warmup=300, state="hidden")
    for k in (1, 2, 3):
        leading = lyapunov_spectrum(net, 0.1 * drive(4, 400), warmup=300, state="hidden", k=k)
        assert len(leading) == k
        torch.testing.assert_close(leading.exponents, full.exponents[:k], rtol=0, atol=1e-7)
        assert leading.certificate is None


@pytest.mark.parametrize("make", MODULES)
def test_the_interval_changes_nothing_beyond_the_stated_error(make):
    net, inputs = module(make, size=16, scale=1.5), drive()
    reference = lyapunov_spectrum(net, inputs, qr_interval=1)
    for interval in (2, 3, 4, "auto"):
        spectrum = lyapunov_spectrum(net, inputs, qr_interval=interval)
        error = (spectrum.exponents - reference.exponents).abs()
        assert (error <= spectrum.rounding_error + reference.rounding_error + 1e-13).all()
    assert float(lyapunov_spectrum(net, inputs).rounding_error.max()) < 1e-6


@pytest.mark.parametrize("make", MODULES)
def test_layers_are_a_union_and_sum_to_the_whole_system(make):
    net, inputs = module(make, size=5, layers=3, scale=1.5).double(), drive(2, 80).double()
    spectrum = lyapunov_spectrum(net, inputs, warmup=40)
    layers = spectrum.layers
    assert len(layers) == 3
    union = torch.cat([layer.exponents for layer in layers]).sort(descending=True).values
    torch.testing.assert_close(spectrum.exponents, union, rtol=0, atol=1e-14)
    # The whole system, its block-triangular Jacobian by automatic differentiation of torch's own kernel.
    cells = Network.from_torch(net).layers
    sizes = [cell.state_size for cell in cells]

    def step(x, s):
        after = []
        for cell, part in zip(cells, s.split(sizes), strict=True):
            after.append(cell.step(x.unsqueeze(0), part.unsqueeze(0)).squeeze(0))
            x = cell.output(after[-1])
        return torch.cat(after)

    with torch.no_grad():
        whole = lyapunov_spectrum(DrivenMap(step, sum(sizes)), inputs, warmup=40)
    assert abs(float(whole.exponents.sum() - spectrum.exponents.sum())) < 1e-6
    assert spectrum.certificate < 1e-9


def test_the_second_layer_is_driven_by_the_first():
    net, inputs = module(nn.LSTM, size=6, layers=2), drive()
    first = nn.LSTM(3, 6, batch_first=True)
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            parameter.copy_(getattr(net, name))
    alone = lyapunov_spectrum(first, inputs)
    torch.testing.assert_close(lyapunov_spectrum(net, inputs).layers[0].exponents, alone.exponents)


@pytest.mark.parametrize("make", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_torch_cells_equal_torch_layers(make):
    torch.manual_seed(0)
    single = make(3, 7)
    layer = getattr(nn, make.__name__.removesuffix("Cell"))(3, 7, batch_first=True)
    with torch.no_grad():
        for name, parameter in single.named_parameters():
            getattr(layer, f"{name}_l0").copy_(parameter)
    before = {name: value.clone() for name, value in single.state_dict().items()}
    a, b = lyapunov_spectrum(single, drive()), lyapunov_spectrum(layer, drive())
    assert torch.equal(a.exponents, b.exponents)
    assert all(torch.equal(value, before[name]) for name, value in single.state_dict().items())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_batch_of_networks_equals_one_by_one(name):
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(Network([ARCHITECTURES[name](3, 6), ARCHITECTURES[name](6, 6)]))
    inputs = drive(5, 60)
    alone = lyapunov_spectra(networks, inputs, batched=False, qr_interval=1)
    together = lyapunov_spectra(networks, inputs, batched=True, qr_interval=1)
    for one, other in zip(alone, together, strict=True):
        assert len(other.layers) == 2
        trusted = min(one.trusted, other.trusted)
        torch.testing.assert_close(one.exponents[:trusted], other.exponents[:trusted], rtol=0, atol=1e-8)
        torch.testing.assert_close(
            one.standard_error[:trusted], other.standard_error[:trusted], rtol=1e-5, atol=1e-8
        )


def test_a_batch_of_networks_with_their_own_inputs():
    networks = [module(nn.LSTM, seed=seed) for seed in range(2)]
    inputs = torch.stack([drive(seed=1), drive(seed=2)])
    alone = lyapunov_spectra(networks, inputs, batched=False)
    together = lyapunov_spectra(networks, inputs, batched=True)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one.exponents, other.exponents, rtol=0, atol=1e-8)


def test_ragged_sequences_equal_each_alone():
    net = module(nn.GRU)
    sequences = [drive(1, length, seed=length)[0] for length in (90, 60, 75, 60)]
    alone = [lyapunov_spectrum(net, s.unsqueeze(0), warmup=30) for s in sequences]
    ragged = lyapunov_spectrum(net, sequences, warmup=30)
    packed = lyapunov_spectrum(net, nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False), warmup=30)
    assert torch.equal(ragged.exponents, packed.exponents)
    weights = torch.tensor([len(s) - 30.0 for s in sequences], dtype=F64)
    raw = torch.stack([one.per_sequence[0] for one in alone])
    # Each run sorts its own directions; the sum over directions does not depend on that.
    expected = (raw.sum(1) * weights).sum() / weights.sum()
    assert abs(float(ragged.exponents.sum() - expected)) < 1e-8
    torch.testing.assert_close(ragged.per_sequence.sum(1), raw.sum(1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("state", ["full", "hidden"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_continued_run_equals_an_uninterrupted_one(layers, state):
    net, inputs = module(nn.LSTM, layers=layers), drive(3, 140)
    whole = lyapunov_spectrum(net, inputs, warmup=40, state=state, qr_interval=1)
    parts = lyapunov_spectrum(net, inputs[:, :90], warmup=40, state=state, qr_interval=1)
    assert parts.continue_(inputs[:, 90:]) is parts
    assert parts.steps == whole.steps == 100
    torch.testing.assert_close(parts.exponents, whole.exponents, rtol=0, atol=1e-9)
    torch.testing.assert_close(parts.layers[0].exponents, whole.layers[0].exponents, rtol=0, atol=1e-9)
    fresh = lyapunov_spectrum(net, inputs[:, :90], warmup=40, state=state)
    fresh.continue_(inputs[:, 90:], accumulate=False)
    assert fresh.steps == 50


def test_a_run_stops_at_its_tolerance_and_divides_by_the_steps_it_made():
    # Constant growth: any average over a different number of steps than were summed shows at once.
    W = torch.diag(torch.tensor([1.2, 0.5], dtype=F64))
    noisy = DrivenMap(lambda x, s: x.exp() * (W @ s), 2)
    inputs = 0.3 * torch.randn(8, 2000, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    spectrum = lyapunov_spectrum(noisy, inputs, warmup=50, tolerance=8e-3)
    assert spectrum.steps < 1950
    assert float(spectrum.standard_error.max()) <= 8e-3
    driven = inputs[:, 50 : 50 + spectrum.steps].mean()
    expected = torch.tensor([1.2, 0.5], dtype=F64).log() + driven
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-6)
    henon = DrivenMap(lambda x, s: torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]]), 2)
    autonomous = lyapunov_spectrum(
        henon,
        initial_state=torch.full((20, 2), 0.1, dtype=F64) * torch.arange(20).unsqueeze(1) / 20,
        tolerance=1e-2,
    )
    assert float(autonomous.standard_error.max()) <= 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, size, scale", [(nn.RNN, 16, 1), (nn.RNN, 16, 4), (nn.GRU, 16, 3), (nn.LSTM, 8, 1), (nn.LSTM, 8, 4)]
)
def test_high_precision_products_agree(make, size, scale):
    net = module(make, size=size, scale=scale).double()
    inputs = drive(1, 45).double()
    cell = Network.from_torch(net).layers[0]
    with torch.no_grad():
        states = cell.trajectory(inputs, cell.initial_state(1))[0]
        jacobians = cell.jacobian(inputs[0], states[:-1])
    n = cell.state_size
    frame = random_frame(n, n, F64, inputs.device, None).mT
    expected = torch.tensor(
        mp_exponents([mpmath.matrix(J.tolist()) for J in jacobians], frame, 25), dtype=F64
    )
    spectrum = lyapunov_spectrum(net, inputs, warmup=20)
    error = (spectrum.exponents - expected).abs()
    # The Jacobians that mpmath multiplies are rounded to float64 themselves: relative 1e-16 of each entry.
    assert (error <= spectrum.rounding_error + 1e-10 * math.exp(2 * scale)).all()
    assert float(error.max()) < 1e-5


def test_float32_parts_from_float64_where_trust_ends():
    net, inputs = module(nn.RNN, size=32, scale=4.0), drive(8, 120)
    exact = lyapunov_spectrum(net, inputs, qr_interval=4)
    rough = lyapunov_spectrum(net, inputs, qr_interval=4, dtype=torch.float32)
    assert exact.exponents.dtype == F64
    assert rough.exponents.dtype == torch.float32
    assert rough.trusted < exact.trusted
    # A trajectory in float32 is another trajectory; hold it to its statistical error, not to the bit.
    trusted = rough.trusted
    assert trusted >= 4
    error = (exact.exponents - rough.exponents.double()).abs()
    assert (error[:trusted] < 6 * exact.standard_error[:trusted] + 5e-3).all()
    lost = error[trusted:] / exact.standard_error[trusted:]
    assert float(lost.max()) > 20


def test_saturated_networks_stay_finite():
    net, inputs = module(nn.RNN, size=32, scale=40.0), 5 * drive()
    spectrum = lyapunov_spectrum(net, inputs)
    assert not spectrum.exponents.isnan().any()
    assert not spectrum.standard_error.isnan().any()
    lstm = lyapunov_spectrum(module(nn.LSTM, scale=60.0), inputs)
    assert not lstm.exponents.isnan().any()


def test_dead_relu_units_give_minus_infinity():
    net = module(lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), size=10)
    with torch.no_grad():
        net.bias_hh_l0[:3] = -100.0
    spectrum = lyapunov_spectrum(net, drive())
    assert int((spectrum.exponents == -math.inf).sum()) >= 3
    assert not spectrum.exponents.isnan().any()
    assert (spectrum.standard_error[spectrum.exponents == -math.inf] == math.inf).all()
    assert spectrum.kaplan_yorke_dimension == 0.0
    assert "inf" in repr(spectrum)
    assert spectrum.certificate is not None
    assert not math.isnan(spectrum.certificate)


def test_divergence_is_flagged():
    doubling = DrivenMap(lambda x, s: 2 * s + x, 2)
    inputs = torch.ones(3, 400, 1, dtype=F64)
    steady = lyapunov_spectrum(doubling, inputs)
    torch.testing.assert_close(steady.exponents, torch.full((2,), math.log(2), dtype=F64))
    squaring = DrivenMap(lambda x, s: s * s * (1 + x), 1)
    start = torch.tensor([[2.0], [0.1], [0.2]], dtype=F64)
    partly = lyapunov_spectrum(squaring, 0 * inputs[:, :60], initial_state=start, warmup=2)
    assert partly.diverged == 1
    assert not partly.converged
    assert not partly.exponents.isnan().any()
    gone = lyapunov_spectrum(squaring, 0 * inputs[:, :60], initial_state=torch.tensor([2.0]), warmup=2)
    assert gone.diverged == 3
    assert (gone.exponents == math.inf).all()
    assert gone.trusted == 0
    assert "3 of 3 sequences diverged" in repr(gone)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_batched_factorisations_do_not_hang_with_several_threads(threads):
    # Batched LU, inverse, solve and determinant of n >= 160 hang inside MKL when torch has two threads or more.
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        net = module(nn.LSTM, size=100)
        spectrum = lyapunov_spectrum(net, drive(4, 12), warmup=4)
        hidden = lyapunov_spectrum(module(nn.GRU, size=180), drive(4, 8), warmup=2)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(spectrum) == 200
    assert spectrum.certificate < 1e-8
    assert len(hidden) == 180


def test_workers_leave_the_process_default_alone():
    import threading

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        lyapunov_spectrum(module(nn.GRU, size=64), drive(4, 20), warmup=4)
        seen = []
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(before)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.booleans())
def test_the_split_is_a_factorisation(n, seed, singular):
    generator = torch.Generator().manual_seed(seed)
    k = int(torch.randint(1, n + 1, (), generator=generator))
    Z = torch.randn(3, k, n, generator=generator, dtype=F64)
    if singular:
        Z[0, -1] = 0.0
    W = torch.empty_like(Z)
    logs = split(Z.clone(), Workspace.of(Z), W)
    assert float(W.abs().max()) <= 1 + 1e-12
    if not singular:
        # Z = W S with S upper triangular, in rows: Z^T = S^T W^T.
        S = torch.linalg.lstsq(W.mT, Z.mT).solution
        torch.testing.assert_close(S.diagonal(dim1=-2, dim2=-1).abs().log(), logs, rtol=0, atol=1e-6)
        torch.testing.assert_close(S.tril(-1), torch.zeros_like(S), rtol=0, atol=1e-8)
    else:
        assert logs[0, -1] == -math.inf


def test_the_frame_needs_its_warm_up():
    # Without it λ_1 is an average over directions that have not yet turned to the fastest.
    W = torch.diag(torch.tensor([1.5, 0.1, 0.1, 0.1], dtype=F64))
    linear = DrivenMap(lambda x, s: W @ s, 4)
    cold = lyapunov_spectrum(linear, steps=20, warmup=0)
    warm = lyapunov_spectrum(linear, steps=20, warmup=50)
    top = math.log(1.5)
    assert abs(float(warm.exponents[0]) - top) < 1e-7
    assert abs(float(cold.exponents[0]) - top) > 1e-3
    assert abs(float(cold.exponents.sum() - warm.exponents.sum())) < 1e-9


def test_a_run_holds_no_jacobians_and_adapts_its_interval():
    net = Network.from_torch(module(nn.RNN, size=8)).double()
    cell = net.layers[0]
    with torch.no_grad():
        run = FrameRun(
            CellTangent(cell),
            cell.initial_state(2),
            random_frame(8, 8, F64, torch.device("cpu"), None).repeat(2, 1, 1),
            None,
        )
        for _ in range(3):
            run.advance(drive(2, 60).double(), 60, [])
    assert run._interval.steps > 1
