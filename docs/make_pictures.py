"""The pictures of the pages on concepts and mending, from real runs: fading and growing differences, spectra, learning.

    python docs/make_pictures.py

Needs the `dev` extra and Chromium or Chrome, and the records of `make demo` for the last picture.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch

import aelle
from aelle import plot
from aelle.explorer.figures.spectra import EXPONENT, epoch_colours
from aelle.explorer.theme import LIGHT, axis, base_layout
from aelle.explorer.theme import title as title_of

PICTURES = Path(__file__).parent / "pictures"
UNITS = 200


def random_network(gain: float, inputs: float = 0.0) -> torch.nn.RNN:
    """A tanh network with W_ij ~ N(0, gain²/N) and input weights N(0, inputs²)."""
    network = torch.nn.RNN(1, UNITS, batch_first=True, bias=False)
    with torch.no_grad():
        network.weight_hh_l0.normal_(0, gain / UNITS**0.5)
        network.weight_ih_l0.normal_(0, max(inputs, 1e-12))
    return network.double()


def fading_and_growing() -> go.Figure:
    """How far two copies of a network come apart, or together, under the same inputs."""
    torch.manual_seed(1)
    steps = 120
    drive = torch.randn(1, steps, 1, dtype=torch.float64)
    figure = go.Figure(
        layout=base_layout(
            LIGHT, title=title_of(LIGHT, "Two copies of a network, one nudged by 10⁻⁶, under the same inputs"),
            xaxis=axis(LIGHT, "step"), yaxis=axis(LIGHT, "distance of their states", type="log", exponentformat="power"),
        )
    )  # fmt: skip
    for gain, colour in ((0.7, LIGHT.group_a), (2.5, LIGHT.group_b)):
        network = random_network(gain, 0.5)
        settled = network(torch.randn(1, 300, 1, dtype=torch.float64))[1]
        nudge = torch.randn_like(settled)
        with torch.no_grad():
            one = network(drive, settled)[0]
            other = network(drive, settled + 1e-6 * nudge / nudge.norm())[0]
        distance = (one - other).norm(dim=-1)[0].numpy()
        driven = torch.randn(8, 900, 1, dtype=torch.float64)
        exponent = float(aelle.lyapunov_spectrum(network, driven, warmup=300, k=1).exponents[0])
        time = np.arange(1, steps + 1)
        figure.add_scatter(
            x=time, y=distance, mode="lines", line={"color": colour, "width": 2.5}, name=f"gain {gain}"
        )
        figure.add_scatter(
            x=time, y=1e-6 * np.exp(exponent * time), mode="lines", name=f"slope λ₁ = {exponent:.2f}",
            line={"color": colour, "width": 1.5, "dash": "dot"},
        )  # fmt: skip
    return figure.update_yaxes(range=[-17, 2])


def spectra_by_gain() -> go.Figure:
    """Spectra of large random networks, and what mean-field theory expects of λ₁."""
    gains = (0.5, 1.0, 1.5, 2.0, 3.0)
    figure = go.Figure(
        layout=base_layout(
            LIGHT, title=title_of(LIGHT, f"Spectra of random tanh networks of {UNITS} units, by gain g"),
            xaxis=axis(LIGHT, "index i of the exponent"), yaxis=axis(LIGHT, EXPONENT),
        )
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": LIGHT.ink, "width": 1, "dash": "dash"})
    for gain, colour in zip(gains, epoch_colours(len(gains), LIGHT), strict=True):
        torch.manual_seed(0)
        network = random_network(gain)
        start = torch.randn(4, UNITS, dtype=torch.float64)
        still = torch.zeros(4, 900, 1, dtype=torch.float64)
        spectrum = aelle.lyapunov_spectrum(network, still, warmup=300, initial_state=start)
        name = f"g = {gain}: λ₁ = {float(spectrum.exponents[0]):.3f}"
        if gain > 1:
            name += f" (theory {aelle.mean_field(gain).largest:.3f})"
        figure.add_scatter(
            x=np.arange(1, UNITS + 1),
            y=spectrum.exponents.numpy(),
            mode="lines",
            name=name,
            line={"color": colour, "width": 2},
        )
    return figure.update_yaxes(range=[-6, 0.6])


def errors() -> go.Figure:
    """A spectrum with intervals, from little data."""
    torch.manual_seed(0)
    network = torch.nn.LSTM(8, 32, batch_first=True)
    spectrum = aelle.lyapunov_spectrum(network, torch.randn(4, 90, 8), warmup=50, k=16)
    return plot.spectrum(
        spectrum, title="The 16 leading exponents of an LSTM from 4 × 40 steps, with 95 % intervals"
    )


def learning() -> go.Figure:
    """λ₁ of untrained networks against the accuracy they reach: latch of `make demo`."""
    return plot.exponent_against_metric(
        PICTURES.parents[1] / "artifacts" / "latch",
        epoch=0,
        title="120 untrained networks, and how well they end on latch",
    )


def mended() -> go.Figure:
    """Learning curves of one LSTM, as torch makes it and conditioned, on the task of docs/how-to/mend.md."""
    torch.manual_seed(0)
    symbols = torch.randint(4, (2560, 50))
    inputs, first = torch.nn.functional.one_hot(symbols, 4).float(), symbols[:, 0]
    figure = go.Figure(
        layout=base_layout(
            LIGHT, title=title_of(LIGHT, "The same LSTM, the same data, the same loop: which symbol came 50 steps ago?"),
            xaxis=axis(LIGHT, "epoch"), yaxis=axis(LIGHT, "accuracy on other sequences", range=[0, 1.05]),
        )
    )  # fmt: skip
    for name, colour in (("as torch makes it", LIGHT.group_b), ("conditioned", LIGHT.group_a)):
        torch.manual_seed(1)
        lstm, readout = torch.nn.LSTM(4, 64, batch_first=True), torch.nn.Linear(64, 4)
        if name == "conditioned":
            aelle.condition(lstm, inputs[:32], readout)
        curve = learning_curve(lstm, readout, inputs, first, epochs=15)
        figure.add_scatter(y=curve, mode="lines+markers", name=name, line={"color": colour, "width": 2.5})
    return figure


def learning_curve(
    lstm: torch.nn.LSTM, readout: torch.nn.Linear, inputs: torch.Tensor, first: torch.Tensor, epochs: int
) -> list[float]:
    """Accuracy on the last 512 sequences, before training and after each epoch on the others."""
    optimiser = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], lr=0.003)
    accuracies = []
    for epoch in range(epochs + 1):
        for batch in torch.randperm(2048).split(64) if epoch else ():
            optimiser.zero_grad()
            answers = readout(lstm(inputs[batch])[0][:, -1])
            torch.nn.functional.cross_entropy(answers, first[batch]).backward()
            optimiser.step()
        with torch.no_grad():
            answers = readout(lstm(inputs[2048:])[0][:, -1]).argmax(-1)
        accuracies.append(float((answers == first[2048:]).float().mean()))
    return accuracies


def main() -> None:
    """Draw them all."""
    import kaleido

    browser = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("needs Chromium or Chrome")
    os.environ["BROWSER_PATH"] = browser
    torch.set_num_threads(1)
    kaleido.start_sync_server(silence_warnings=True)
    for draw in (fading_and_growing, spectra_by_gain, errors, learning, mended):
        picture = kaleido.calc_fig_sync(
            draw(), opts={"format": "png", "width": 760, "height": 400, "scale": 2}
        )
        (PICTURES / f"concept-{draw.__name__.replace('_', '-')}.png").write_bytes(picture)
    kaleido.stop_sync_server()


if __name__ == "__main__":
    main()
