"""torch.nn's own modules in every form they come in, against plain loops on automatic Jacobians."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

from aelle.spectra import (
    conditional_vs_generative,
    covariant_lyapunov_vectors,
    fixed_points,
    leading_exponents,
    look,
    lyapunov_spectra,
    lyapunov_spectrum,
    readout_growth,
)
from tests.module_oracles import plain_exponents

F64 = torch.float64


def seeded(make, *args, gain=2.0, **options):
    torch.manual_seed(3)
    module = make(*args, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(gain)
    return module


def drive(batch=2, time=60, features=3):
    return torch.randn(batch, time, features, generator=torch.Generator().manual_seed(5))


def step_of(module):
    """The module's own call on one flat state: a one-layer RNN, GRU or LSTM, unidirectional, in float64."""
    own = copy.deepcopy(module).double()
    own.batch_first = False
    sizes = [own.proj_size or own.hidden_size, own.hidden_size]

    def step(x, s):
        parts = s.split(sizes) if isinstance(own, nn.LSTM) else [s]
        state = tuple(part.view(1, -1) for part in parts)
        _, after = own(x.view(1, -1), state if isinstance(own, nn.LSTM) else state[0])
        return torch.cat([part.view(-1) for part in (after if isinstance(after, tuple) else (after,))])

    return step


def assert_exponents(spectrum, expected, tolerance=1e-6, above=-25.0):
    known = expected > above
    assert len(spectrum) == len(expected)
    assert (spectrum.exponents - expected)[known].abs().max() < tolerance


# --- projections --------------------------------------------------------------------------------------------------


def test_the_spectrum_of_a_projected_lstm_is_that_of_h_and_c():
    net, x = seeded(nn.LSTM, 3, 5, proj_size=2, batch_first=True), drive()
    expected = plain_exponents(step_of(net), x.double(), torch.zeros(2, 7, dtype=F64), 20)
    spectrum = lyapunov_spectrum(net, x, warmup=20)
    assert_exponents(spectrum, expected)
    assert spectrum.certificate < 1e-9


def test_the_sum_of_a_projected_lstm_is_its_mean_log_determinant():
    net, x = seeded(nn.LSTM, 3, 6, proj_size=3, batch_first=True).double(), drive().double()
    spectrum, step = lyapunov_spectrum(net, x, warmup=20), step_of(net)
    logs = []
    for sequence in x:
        s = torch.zeros(9, dtype=F64)
        for t, row in enumerate(sequence):
            if t >= 20:
                jacobian = torch.autograd.functional.jacobian(lambda s, row=row: step(row, s), s)
                logs.append(torch.linalg.slogdet(jacobian)[1])
            s = step(row, s).detach()
    assert abs(float(spectrum.exponents.sum() - torch.stack(logs).mean())) < 1e-9


def test_projected_layers_feed_the_layers_above():
    net, x = seeded(nn.LSTM, 3, 4, num_layers=2, proj_size=2, batch_first=True), drive()
    spectrum = lyapunov_spectrum(net, x, warmup=20)
    own = copy.deepcopy(net).double()
    upper = nn.LSTM(2, 4, proj_size=2).double()
    upper.load_state_dict({k.replace("_l1", "_l0"): v for k, v in own.state_dict().items() if "_l1" in k})
    lower = nn.LSTM(3, 4, proj_size=2, batch_first=True).double()
    lower.load_state_dict({k: v for k, v in own.state_dict().items() if "_l0" in k})
    between = lower(x.double())[0].detach()
    zeros = torch.zeros(2, 6, dtype=F64)
    assert_exponents(spectrum.layers[0], plain_exponents(step_of(lower), x.double(), zeros, 20))
    assert_exponents(spectrum.layers[1], plain_exponents(step_of(upper), between, zeros, 20))
    hidden = lyapunov_spectrum(net, x, state="hidden")
    assert len(hidden) == 4
    assert len(readout_growth(net, x, nn.Linear(2, 3))) > 3
    assert leading_exponents(net, x, 2, warmup=20).requires_grad


# --- both directions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_bidirectional_module_has_a_spectrum_in_each_direction_of_time(make, layers):
    net, x = seeded(make, 3, 4, num_layers=layers, bidirectional=True, batch_first=True), drive()
    spectra = lyapunov_spectrum(net, x, warmup=20)
    assert list(spectra) == ["forward", "backward"]
    below = x.double()
    for layer in range(layers):
        weights = {k: v.double() for k, v in net.state_dict().items() if f"_l{layer}" in k}
        both = make(below.shape[-1], 4, bidirectional=True, batch_first=True).double()
        both.load_state_dict({k.replace(f"_l{layer}", "_l0"): v for k, v in weights.items()})
        for name, driving in (("forward", below), ("backward", below.flip(1))):
            one = make(below.shape[-1], 4, batch_first=True).double()
            own = {k for k in weights if k.endswith("_reverse") == (name == "backward")}
            one.load_state_dict(
                {k.removesuffix("_reverse").replace(f"_l{layer}", "_l0"): weights[k] for k in own}
            )
            n = 8 if make is nn.LSTM else 4
            expected = plain_exponents(step_of(one), driving, torch.zeros(2, n, dtype=F64), 20)
            assert_exponents(spectra[name].layers[layer], expected)
        below = both(below)[0].detach()  # the module's own outputs, of both directions
    assert len(spectra["forward"]) == layers * n
    assert len(lyapunov_spectrum(net, x, k=2)["backward"]) == 2


def test_directions_of_sequences_of_several_lengths_and_of_projections():
    net = seeded(nn.LSTM, 3, 4, bidirectional=True, proj_size=2, num_layers=2)
    sequences = [drive(1, 50)[0], drive(1, 70)[0]]
    together = lyapunov_spectrum(net, sequences, warmup=20)
    for row, sequence in enumerate(sequences):
        alone = lyapunov_spectrum(net, [sequence], warmup=20)
        for name in ("forward", "backward"):
            torch.testing.assert_close(
                together[name].per_sequence[row].sum(), alone[name].exponents.sum(), rtol=0, atol=1e-9
            )
    packed = lyapunov_spectrum(net, pack_sequence(sequences, enforce_sorted=False), warmup=20)
    torch.testing.assert_close(packed["backward"].exponents, together["backward"].exponents)


def test_initial_states_of_both_directions_stand_as_in_torch():
    net, x = seeded(nn.GRU, 3, 4, bidirectional=True, batch_first=True), drive(time=30)
    h_0 = torch.randn(2, 2, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    spectra = lyapunov_spectrum(net, x, warmup=0, initial_state=h_0)
    for row, (name, driving) in enumerate((("forward", x), ("backward", x.flip(1)))):
        suffix = "_reverse" if row else ""
        one = nn.GRU(3, 4, batch_first=True)
        one.load_state_dict({k: net.state_dict()[k + suffix] for k in one.state_dict()})
        assert_exponents(spectra[name], plain_exponents(step_of(one), driving.double(), h_0[row], 0))


def test_a_bidirectional_subclass_with_a_forward_of_its_own_is_refused():
    class Scaled(nn.GRU):
        def forward(self, x, h=None):
            out, last = super().forward(x, h)
            return 2 * out, last

    with pytest.raises(TypeError, match="outputs of Scaled are not those"):
        lyapunov_spectrum(Scaled(3, 4, bidirectional=True), [drive(1)[0]])


# --- inputs as the module reads them ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_tensor_is_read_as_the_module_reads_it(make):
    net, x = seeded(make, 3, 4), drive(batch=4, time=60)
    other = make(3, 4, batch_first=True)
    other.load_state_dict(net.state_dict())
    expected = lyapunov_spectrum(other, x)
    found = lyapunov_spectrum(net, x.transpose(0, 1))
    assert (found.sequences, found.steps) == (expected.sequences, expected.steps)
    torch.testing.assert_close(found.exponents, expected.exponents)
    assert torch.equal(lyapunov_spectrum(net, list(x)).exponents, found.exponents)
    # One sequence without a batch, whatever batch_first says.
    alone = lyapunov_spectrum(net, [x[0]])
    for module in (net, other):
        assert torch.equal(lyapunov_spectrum(module, x[0]).exponents, alone.exponents)
        assert lyapunov_spectrum(module, torch.ones(60, 3, dtype=torch.long)).sequences == 1


def test_everything_that_takes_inputs_reads_them_so():
    net, x = seeded(nn.GRU, 3, 4), drive(batch=4, time=60)
    other = nn.GRU(3, 4, batch_first=True)
    other.load_state_dict(net.state_dict())
    time_first = x.transpose(0, 1)
    read = nn.Linear(4, 3)
    for take in (
        lambda m, i: readout_growth(m, i),
        lambda m, i: look(m, i).leading,
        lambda m, i: leading_exponents(m, i, 2).detach(),
        lambda m, i: covariant_lyapunov_vectors(m, i, warmup=20, cooldown=20).exponents,
        lambda m, i: conditional_vs_generative(m, i, readout=read).generative.exponents,
        lambda m, i: fixed_points(m, inputs=i).points,
        lambda m, i: lyapunov_spectra([m, m], i)[1].exponents,
        lambda m, i: lyapunov_spectra([m, m], i, batched=True)[1].exponents,
        lambda m, i: lyapunov_spectra([m, m], torch.stack([i, 2 * i]), batched=True)[1].exponents,
        lambda m, i: lyapunov_spectrum(m, i).continue_(i).exponents,
    ):
        torch.testing.assert_close(take(net, time_first), take(other, x))


def test_a_tensor_that_may_be_the_wrong_way_round_is_asked_about():
    with pytest.warns(
        UserWarning, match=r"\(4, 60, 3\) are read as \(time, batch, ...\).*60 sequences of 4 steps"
    ):
        lyapunov_spectrum(nn.LSTM(3, 4), drive(batch=4, time=60))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        lyapunov_spectrum(nn.LSTM(3, 4, batch_first=True), drive(batch=4, time=60))
        lyapunov_spectrum(nn.LSTM(3, 4), drive(batch=60, time=4))


def test_packed_sequences_keep_the_callers_order():
    net = seeded(nn.LSTM, 3, 4)
    lengths = [50, 70, 60]
    sequences = [drive(1, length)[0] for length in lengths]
    padded = nn.utils.rnn.pad_sequence(sequences)
    packed = pack_padded_sequence(padded, torch.tensor(lengths), enforce_sorted=False)
    start = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    found = lyapunov_spectrum(net, packed, warmup=20, initial_state=start)
    for row, sequence in enumerate(sequences):
        alone = lyapunov_spectrum(net, [sequence], warmup=20, initial_state=start[row])
        torch.testing.assert_close(found.per_sequence[row].sum(), alone.exponents.sum(), rtol=0, atol=1e-9)


# --- initial states -----------------------------------------------------------------------------------------------


def test_initial_states_as_torch_takes_them():
    cell, x = seeded(nn.LSTMCell, 3, 4), drive(time=40)
    generator = torch.Generator().manual_seed(2)
    h, c = (torch.randn(2, 4, generator=generator) for _ in range(2))
    expected = lyapunov_spectrum(cell, x, warmup=0, initial_state=torch.cat([h, c], dim=-1))
    assert torch.equal(
        lyapunov_spectrum(cell, x, warmup=0, initial_state=(h, c)).exponents, expected.exponents
    )
    alone = lyapunov_spectrum(cell, x[:1], warmup=0, initial_state=(h[0], c[0]))
    assert torch.equal(
        lyapunov_spectrum(cell, x[:1], warmup=0, initial_state=(h[:1], c[:1])).exponents, alone.exponents
    )
    # Without a batch: (layers, H) each.
    net = seeded(nn.LSTM, 3, 4, num_layers=2)
    batched = lyapunov_spectrum(net, [x[0]], warmup=0, initial_state=(h.unsqueeze(1), c.unsqueeze(1)))
    assert torch.equal(
        lyapunov_spectrum(net, x[0], warmup=0, initial_state=(h, c)).exponents, batched.exponents
    )
    gru = seeded(nn.GRU, 3, 4, num_layers=2)
    batched = lyapunov_spectrum(gru, [x[0]], warmup=0, initial_state=h.unsqueeze(1))
    assert torch.equal(lyapunov_spectrum(gru, x[0], warmup=0, initial_state=h).exponents, batched.exponents)
    projected = seeded(nn.LSTM, 3, 4, proj_size=2, batch_first=True)
    pair = torch.randn(1, 2, 2, dtype=F64), torch.randn(1, 2, 4, dtype=F64)
    found = lyapunov_spectrum(projected, x, warmup=0, initial_state=pair)
    start = torch.cat([part[0] for part in pair], dim=-1)
    assert_exponents(found, plain_exponents(step_of(projected), x.double(), start, 0))


# --- wrapped modules and their parameters -------------------------------------------------------------------------


def scripted(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def traced(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.randn(2, 3) if isinstance(module, nn.RNNCellBase) else torch.randn(5, 2, 3)
        return torch.jit.trace(module, x)


WRAPPERS = [torch.compile, nn.DataParallel, torch.optim.swa_utils.AveragedModel, scripted, traced,
            lambda m: torch.compile(nn.DataParallel(m))]  # fmt: skip
WRAPPED = [
    lambda: seeded(nn.LSTM, 3, 4, num_layers=2, batch_first=True),
    lambda: seeded(nn.LSTM, 3, 4, proj_size=2),
    lambda: seeded(nn.GRU, 3, 4, bias=False),
    lambda: seeded(nn.RNN, 3, 4, nonlinearity="relu"),
    lambda: seeded(nn.RNNCell, 3, 4, nonlinearity="relu"),
    lambda: seeded(nn.LSTMCell, 3, 4),
    lambda: seeded(nn.GRUCell, 3, 4),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("make", WRAPPED)
def test_a_wrapped_module_is_measured_as_what_it_holds(wrap, make):
    module, x = make(), drive(batch=3, time=40)
    inputs = x.transpose(0, 1) if getattr(module, "batch_first", True) is False else x
    expected = lyapunov_spectrum(module, inputs)
    found = lyapunov_spectrum(wrap(module), inputs)
    assert (found.sequences, found.steps) == (3, expected.steps)
    torch.testing.assert_close(found.exponents, expected.exponents, rtol=1e-9, atol=1e-9)


def test_a_scripted_module_of_ones_own_is_not_taken_for_torchs():
    class GRUCell(nn.Module):
        def __init__(self):
            super().__init__()
            inner = seeded(nn.GRUCell, 3, 4)
            self.weight_ih, self.weight_hh = inner.weight_ih, inner.weight_hh
            self.bias_ih, self.bias_hh = inner.bias_ih, inner.bias_hh

        def forward(self, x: torch.Tensor, h: torch.Tensor | None = None) -> torch.Tensor:
            state = torch.zeros(x.shape[0], 4, dtype=x.dtype) if h is None else h
            return torch.tanh(x @ self.weight_ih[:4].t() + state @ self.weight_hh[:4].t())

    own, x = GRUCell(), drive()
    double = copy.deepcopy(own).double()
    expected = plain_exponents(
        lambda x, s: double(x.view(1, -1), s.view(1, -1)).view(-1),
        x.double(), torch.zeros(2, 4, dtype=F64), 20,
    )  # fmt: skip
    try:
        spectrum = lyapunov_spectrum(scripted(own), x, warmup=20)
    except TypeError:
        return  # refused
    assert_exponents(spectrum, expected)


@pytest.mark.parametrize(
    "parametrise", [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal]
)
@pytest.mark.parametrize("make", [nn.GRU, nn.GRUCell])
def test_parametrised_weights_are_those_that_run(parametrise, make):
    module = seeded(make, 3, 4)
    name = "weight_hh" if make is nn.GRUCell else "weight_hh_l0"
    parametrise(module, name).eval()
    with torch.no_grad():
        for parameter in module.parametrizations[name].parameters():
            parameter.mul_(1.5)
    plain = make(3, 4)
    plain.load_state_dict({key: getattr(module, key).detach() for key in plain.state_dict()})
    x = drive()
    inputs = x if make is nn.GRUCell else x.transpose(0, 1)
    expected = lyapunov_spectrum(plain, inputs)
    torch.testing.assert_close(
        lyapunov_spectrum(module, inputs).exponents, expected.exponents, rtol=1e-5, atol=1e-5
    )
    gradient = torch.autograd.grad(
        leading_exponents(module, inputs).sum(), list(module.parameters()), allow_unused=True
    )
    assert any(g is not None and g.abs().sum() > 0 for g in gradient)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [nn.LSTM, nn.GRUCell])
def test_parameters_of_half_precision_are_measured_in_double(dtype, make):
    half = seeded(make, 3, 4).to(dtype)
    double = copy.deepcopy(half).double()
    x = drive() if make is nn.GRUCell else drive().transpose(0, 1)
    assert torch.equal(lyapunov_spectrum(half, x).exponents, lyapunov_spectrum(double, x).exponents)
    assert all(parameter.dtype == dtype for parameter in half.parameters())
    assert leading_exponents(half, x).dtype == torch.float32


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = nn.Sequential(nn.LSTM(3, 4))
        return torch.ao.quantization.quantize_dynamic(whole, {nn.LSTM}, dtype=torch.qint8)[0]


def sparse():
    net = nn.RNN(3, 4)
    net.weight_hh_l0 = nn.Parameter(net.weight_hh_l0.detach().to_sparse())
    return net


def hooked():
    wrapper = nn.DataParallel(nn.RNN(3, 4))
    wrapper.register_forward_hook(lambda *a: None)
    return wrapper


BAD = [
    (quantised, TypeError, r"torch.ao.nn.quantized.dynamic.LSTM is quantised"),
    (lambda: nn.RNN(3, 4, dtype=torch.complex64), ValueError, "weight_ih_l0 is complex"),
    (lambda: nn.LSTM(3, 4, device="meta"), ValueError, "on the meta device"),
    (sparse, ValueError, "weight_hh_l0 is sparse"),
    (hooked, TypeError, "DataParallel has forward hooks"),
]


@pytest.mark.parametrize("make, error, sentence", BAD)
def test_one_clear_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        lyapunov_spectrum(make(), drive().transpose(0, 1))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("way", [lambda x: x, list])
def test_inputs_without_values_are_refused(way):
    net, x = nn.GRU(3, 4, batch_first=True), drive()
    with pytest.raises(ValueError, match=r"inputs are sparse; give them dense"):
        lyapunov_spectrum(net, x.to_sparse() if way is not list else [row.to_sparse() for row in x])
    with pytest.raises(ValueError, match="meta device"):
        lyapunov_spectrum(net, way(x.to("meta")))
    with pytest.raises(ValueError, match="meta device"):
        readout_growth(net, way(x.to("meta")))


def test_what_a_bidirectional_module_has_not_is_said():
    net, x = nn.GRU(3, 4, bidirectional=True), drive().transpose(0, 1)
    with pytest.raises(ValueError, match="takes the spectrum of each direction"):
        leading_exponents(net, x)
    with pytest.raises(ValueError, match="tolerance is not offered"):
        lyapunov_spectrum(net, x, tolerance=0.1)
    with pytest.raises(ValueError, match="needs inputs"):
        lyapunov_spectrum(net, steps=10)
    with pytest.raises(ValueError, match="inputs have 2 features a step, but the network takes 3"):
        lyapunov_spectrum(net, x[..., :2])


def test_a_bidirectional_part_of_a_model_is_named_by_direction():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.read = nn.Embedding(10, 3), nn.Linear(8, 2)
            self.lstm = seeded(nn.LSTM, 3, 4, bidirectional=True)

        def forward(self, tokens):
            return self.read(self.lstm(self.embedding(tokens))[0])

    model, tokens = Tagger(), torch.randint(10, (60, 2), generator=torch.Generator().manual_seed(0))
    found = lyapunov_spectrum(model, tokens)
    expected = lyapunov_spectrum(model.lstm, model.embedding(tokens).detach())
    assert list(found) == ["lstm.forward", "lstm.backward"]
    for direction in ("forward", "backward"):
        torch.testing.assert_close(found[f"lstm.{direction}"].exponents, expected[direction].exponents)
