"""What warm-up and the interval between orthonormalisations do to a spectrum.

    python experiments/paper/warmup_and_interval.py

LSTMs with U(±gain/√H) weights under random one-hot symbols. At the left, the error that a short warm-up leaves in
the spectrum (root mean square), in λ₁ and in the mean exponent: the same measured window of the same sequences, entered after fewer steps. At the right,
the error of single exponents where the frame is orthonormalised only every so many steps, in double and in single
precision.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from common import VOGT_2022, Verdict, finish, panels, parser, run
from torch import nn

from aelle import lyapunov_spectrum
from aelle.explorer.theme import LIGHT

GAINS, SYMBOLS = (1.0, 3.0, 6.0), 32
SEQUENCES, STEPS = 15, 100
WARMUPS = (0, 3, 10, 30, 100, 300)
INTERVALS = (1, 2, 5, 10, 20, 50)
EXACT = 1e-3
CLAIM = (
    "a warm-up brings the spectrum to its long-run values sooner; orthonormalising less often saves time and costs "
    "precision in the more negative exponents"
)
CRITERION = (
    "in every network, the error of the whole spectrum (root mean square) after 100 steps of warm-up is at most half of "
    "that without; and in double precision, orthonormalising every 10 steps is faster, keeps the upper half of the "
    f"exponents within {EXACT:g} in every network, and puts the last exponent off by more"
)


def network(gain: float, units: int) -> nn.LSTM:
    torch.manual_seed(int(10 * gain))
    module = nn.LSTM(SYMBOLS, units, bias=False, batch_first=True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-gain / units**0.5, gain / units**0.5)
    return module


def symbols(steps: int) -> torch.Tensor:
    index = torch.randint(SYMBOLS, (SEQUENCES, steps), generator=torch.Generator().manual_seed(7))
    return nn.functional.one_hot(index, SYMBOLS).double()


def warmup_errors(module: nn.LSTM, reference_warmup: int) -> list[dict[str, float]]:
    """Errors of λ₁, of the mean and of the spectrum against a long warm-up, over one measured window."""
    inputs = symbols(reference_warmup + STEPS)
    exact = lyapunov_spectrum(module, inputs, warmup=reference_warmup).exponents
    rows = []
    for warmup in WARMUPS:
        found = lyapunov_spectrum(module, inputs[:, reference_warmup - warmup :], warmup=warmup).exponents
        errors = found - exact
        row = {"warmup": warmup, "largest": float(errors[0].abs()), "mean": float(errors.mean().abs())}
        rows.append(row | {"spectrum": float(errors.square().mean().sqrt()), "exact": float(exact[0])})
    return rows


def interval_errors(module: nn.LSTM) -> list[dict[str, Any]]:
    """Errors of all exponents against double precision with an orthonormalisation at every step."""
    inputs = symbols(100 + STEPS)
    exact = lyapunov_spectrum(module, inputs, warmup=100, qr_interval=1).exponents
    rows = []
    for precision, dtype in (("double", torch.float64), ("single", torch.float32)):
        for interval in INTERVALS:
            started = time.perf_counter()
            found = lyapunov_spectrum(module, inputs, warmup=100, qr_interval=interval, dtype=dtype)
            seconds = time.perf_counter() - started
            errors = (found.exponents.double() - exact).abs()
            upper, last = float(errors[: len(errors) // 2].max()), float(errors[-1])
            rows.append({"precision": precision, "interval": interval, "upper_half": upper, "last": last}
                        | {"trusted": found.trusted, "of": len(errors), "seconds": seconds})  # fmt: skip
    return rows


def measure(units: int, reference_warmup: int) -> dict[str, Any]:
    found: dict[str, Any] = {"units": units, "sequences": SEQUENCES, "steps": STEPS, "networks": []}
    for gain in GAINS:
        module = network(gain, units)
        errors = {"warmup": warmup_errors(module, reference_warmup), "interval": interval_errors(module)}
        found["networks"].append({"gain": gain, **errors})
    return found


def warmup_rows(numbers: dict[str, Any], warmup: int, what: str) -> list[float]:
    """One value a network."""
    rows = [row for net in numbers["networks"] for row in net["warmup"] if row["warmup"] == warmup]
    return [row[what] for row in rows]


def interval_rows(numbers: dict[str, Any], precision: str, interval: int, what: str) -> list[float]:
    """One value a network."""
    rows = [row for net in numbers["networks"] for row in net["interval"]]
    return [row[what] for row in rows if row["precision"] == precision and row["interval"] == interval]


def worst(numbers: dict[str, Any], precision: str, interval: int, what: str) -> float:
    return float(np.max(np.nan_to_num(interval_rows(numbers, precision, interval, what), nan=np.inf)))


def judge(numbers: dict[str, Any]) -> Verdict:
    cold, warm = (np.array(warmup_rows(numbers, warmup, "spectrum")) for warmup in (0, 100))
    largest = [float(np.median(warmup_rows(numbers, warmup, "largest"))) for warmup in (0, 100)]
    upper, last = (worst(numbers, "double", 10, what) for what in ("upper_half", "last"))
    seconds = [np.array(interval_rows(numbers, "double", interval, "seconds")) for interval in (1, 10)]
    faster = float(np.median(seconds[0] / seconds[1]))
    reproduced = bool((warm <= cold / 2).all()) and faster > 1 and upper < EXACT < last
    finding = (
        f"100 steps of warm-up divide the error of the spectrum by {min(cold / warm):.1f} to {max(cold / warm):.1f} (median "
        f"error of λ₁ {largest[0]:.4f} without, {largest[1]:.4f} with: its close neighbours keep it from settling); every 10 "
        f"steps instead of every one is {faster:.1f}× faster, with the upper half within {upper:.0e} and the last exponent "
        f"off by {last:.1f}; in single precision the upper half is off by {worst(numbers, 'single', 10, 'upper_half'):.2f} too"
    )
    return Verdict(VOGT_2022, CLAIM, CRITERION, reproduced, finding)


def draw(numbers: dict[str, Any]) -> Any:
    axes = [("steps of warm-up", "error (nats per step)")]
    axes.append(("steps between orthonormalisations", "largest error of three networks"))
    figure = panels(["too short a warm-up", "too long an interval"], axes, width=1000, height=440)
    draw_warmup(figure, numbers)
    styles = {"double": LIGHT.group_a, "single": LIGHT.group_b}
    for precision, colour in styles.items():
        for what, dash, name in (("last", "solid", "last exponent"), ("upper_half", "dot", "upper half")):
            figure.add_scatter(
                x=[str(k) for k in INTERVALS], y=[worst(numbers, precision, k, what) or None for k in INTERVALS],
                name=f"{name}, {precision} precision", mode="lines+markers", legend="legend2",
                line={"color": colour, "dash": dash}, row=1, col=2,
            )  # fmt: skip
    figure.update_yaxes(type="log", exponentformat="power", dtick=1, range=[-5, 0.4], row=1, col=1)
    figure.update_yaxes(type="log", exponentformat="power", dtick=2, range=[-14, 1.5], row=1, col=2)
    figure.update_xaxes(type="category")
    look = figure.layout.legend.to_plotly_json() | {"orientation": "v", "xanchor": "right"}
    inside = look | {"x": 0.455, "y": 1, "yanchor": "top"}
    figure.update_layout(legend=inside, legend2=look | {"x": 1, "y": 0, "yanchor": "bottom"}, margin_b=50)
    return figure


def draw_warmup(figure: Any, numbers: dict[str, Any]) -> None:
    """Colour is the network, the dash is what errs."""
    dashes = {"spectrum": ("solid", "spectrum"), "largest": ("dash", "λ₁"), "mean": ("dot", "mean λ")}
    for net, colour in zip(numbers["networks"], LIGHT.kinds, strict=False):
        for what, (dash, _) in dashes.items():
            figure.add_scatter(
                x=[str(row["warmup"]) for row in net["warmup"]], y=[row[what] for row in net["warmup"]],
                name=f"gain {net['gain']:g}", showlegend=what == "spectrum", mode="lines+markers",
                line={"color": colour, "dash": dash}, row=1, col=1,
            )  # fmt: skip
    for dash, name in dashes.values():
        grey = {"mode": "lines", "line": {"color": LIGHT.muted, "dash": dash}}
        figure.add_scatter(x=[None], y=[None], name=name, **grey, row=1, col=1)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--units", type=int, default=64)
    arguments.add_argument("--reference-warmup", type=int, default=1000)
    options = arguments.parse_args()
    if options.reference_warmup < max(WARMUPS):
        arguments.error(f"--reference-warmup must be at least {max(WARMUPS)}")
    numbers = measure(options.units, options.reference_warmup)
    finish(options, "warmup_and_interval", {"": draw(numbers)}, numbers, judge(numbers))


if __name__ == "__main__":
    run(main)
