"""Bad input is refused with one clear sentence."""

import pytest
import torch
from torch import nn

from aelle.spectra import (
    DrivenMap,
    conditional_vs_generative,
    covariant_lyapunov_vectors,
    leading_exponents,
    lyapunov_spectra,
    lyapunov_spectrum,
    mean_field,
)

NET = nn.LSTM(3, 4, batch_first=True)
X = torch.randn(2, 60, 3)


def broken():
    net = nn.GRU(3, 4, batch_first=True)
    with torch.no_grad():
        net.weight_hh_l0[0, 0] = float("nan")
    return net


CASES = [
    (
        lambda: lyapunov_spectrum(nn.LSTMCell(3, 4), X[0]),
        ValueError,
        r"shape \(batch, time, input_size\), got \(60, 3\)",
    ),
    (
        lambda: lyapunov_spectrum(NET, X[..., :2]),
        ValueError,
        "inputs have 2 features a step, but the network takes 3",
    ),
    (lambda: lyapunov_spectrum(NET, X[:, :0]), ValueError, "sequence 0 is empty"),
    (lambda: lyapunov_spectrum(NET, X[:0]), ValueError, "inputs hold no sequences"),
    (lambda: lyapunov_spectrum(NET, X / 0), ValueError, "NaN or infinite"),
    (lambda: lyapunov_spectrum(NET, "text"), TypeError, "inputs must be a tensor"),
    (lambda: lyapunov_spectrum(NET, [X[0], X[1, :, :2]]), ValueError, "with one input_size"),
    (lambda: lyapunov_spectrum(broken(), X), ValueError, "weight_hh.* holds NaN"),
    (
        lambda: leading_exponents(nn.LSTM(3, 4, bidirectional=True, batch_first=True), X),
        ValueError,
        "bidirectional",
    ),
    (lambda: lyapunov_spectrum(nn.Linear(3, 3), X), TypeError, "Linear cannot be read as"),
    (lambda: lyapunov_spectrum(42, X), TypeError, "got int"),
    (lambda: lyapunov_spectrum(NET, X, k=9), ValueError, "k must lie between 1 and the 8 exponents"),
    (lambda: lyapunov_spectrum(NET, X, k=0), ValueError, "k must lie between 1"),
    (lambda: lyapunov_spectrum(NET, X, state="part"), ValueError, '"full" or "hidden"'),
    (
        lambda: lyapunov_spectrum(NET, X, warmup=60),
        ValueError,
        "60 steps is too short for 60 steps of warm-up",
    ),
    (lambda: lyapunov_spectrum(NET, X, warmup="long"), ValueError, "warmup must be"),
    (lambda: lyapunov_spectrum(NET, X, steps=100), ValueError, "too short"),
    (lambda: lyapunov_spectrum(NET, X, steps=0), ValueError, "steps must be at least 1"),
    (lambda: lyapunov_spectrum(NET, X, qr_interval=0), ValueError, "qr_interval must be"),
    (lambda: lyapunov_spectrum(NET, X, dtype=torch.float16), ValueError, "float64 or torch.float32"),
    (lambda: lyapunov_spectrum(NET, X, tolerance=-1.0), ValueError, "tolerance must be positive"),
    (lambda: lyapunov_spectrum(NET, X, tolerance=1e-9), ValueError, "above the tolerance of 1e-09; about"),
    (
        lambda: lyapunov_spectrum(NET, X, initial_state=torch.zeros(3, 8)),
        ValueError,
        "3 rows for 2 sequences",
    ),
    (
        lambda: lyapunov_spectrum(NET, X, initial_state=torch.zeros(2, 5)),
        ValueError,
        r"\(8,\) or \(batch, 8\)",
    ),
    (lambda: lyapunov_spectrum(NET), ValueError, "needs steps"),
    (
        lambda: lyapunov_spectrum(DrivenMap(lambda x, s: s[:1], 2), steps=5),
        ValueError,
        r"shape \(2,\), got \(1,\)",
    ),
    (lambda: lyapunov_spectrum(DrivenMap(lambda x, s: 3, 2), steps=5), ValueError, "got int"),
    (
        lambda: lyapunov_spectrum(DrivenMap(lambda x, s: torch.ones(2).double(), 2), steps=5),
        ValueError,
        "ignores the state",
    ),
    (
        lambda: lyapunov_spectrum(DrivenMap(lambda x, s: s, 2, jacobian=lambda x, s: s), steps=5),
        ValueError,
        r"jacobian must return .*\(2, 2\)",
    ),
    (
        lambda: lyapunov_spectrum(DrivenMap(lambda x, s: s, 2), steps=5, state="hidden"),
        ValueError,
        "no hidden part",
    ),
    (lambda: DrivenMap(lambda x, s: s, 0), ValueError, "state_size must be at least 1"),
    (lambda: lyapunov_spectrum(NET, X).confidence_interval(95), ValueError, "between 0 and 1"),
    (
        lambda: lyapunov_spectrum(NET, X).continue_(X[:1]),
        ValueError,
        "needs the 2 sequences of before, got 1",
    ),
    (lambda: lyapunov_spectrum(NET, X).in_bits().continue_(X), ValueError, "can be continued"),
    (lambda: lyapunov_spectra([NET], X, batched=True, tolerance=0.1), ValueError, "take no .* tolerance"),
    (lambda: lyapunov_spectra([NET], X, warm_up=3), TypeError, "unexpected keyword argument 'warm_up'"),
    (lambda: lyapunov_spectra([], X), ValueError, "at least one network"),
    (lambda: lyapunov_spectra([NET], torch.stack([X, X])), ValueError, "2 networks, but there are 1"),
    (
        lambda: covariant_lyapunov_vectors(NET, X),
        ValueError,
        "too short for 100 of warm-up and 100 of cool-down",
    ),
    (lambda: conditional_vs_generative(NET, X), ValueError, "needs a readout"),
    (
        lambda: conditional_vs_generative(NET, X, readout=nn.Linear(4, 2)),
        ValueError,
        "gives 2 numbers, but the network takes 3",
    ),
    (lambda: leading_exponents(NET, X, trajectory="half"), ValueError, '"full" or "frozen"'),
    (lambda: leading_exponents(NET, X, k=20), ValueError, "k must lie between"),
    (lambda: leading_exponents(NET, X, warmup=60), ValueError, "leaves none to measure"),
    (lambda: mean_field(-1.0), ValueError, "g > 0"),
]


@pytest.mark.parametrize("call, error, sentence", CASES, ids=[case[2][:40] for case in CASES])
def test_one_clear_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        call()
    assert "\n" not in str(raised.value)
