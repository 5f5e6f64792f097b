"""Three regimes of a recurrent network: perturbations die out, persist, or grow; the spectrum tells which.

    python experiments/paper/regimes.py

Random tanh networks without input, recurrent weights scaled to a spectral radius g. At the left, the distance of
two trajectories that start 1e-8 apart; in the middle, their Lyapunov spectra; at the right, the largest exponent
against g, with mean-field theory for large networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import VOGT_2022, Verdict, finish, panels, parser, run, zero_line
from torch import Tensor, nn

from aelle import lyapunov_spectrum, mean_field
from aelle.explorer.theme import LIGHT

REGIMES = {"stable": 0.6, "marginal": 1.0, "chaotic": 2.0}
SWEEP = (0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
SMALL, FACTOR, MARGIN, NEAR = 1e-8, 100.0, 0.02, 0.05
CLAIM = "the sign of the largest exponent separates stable, marginal and chaotic networks"
CRITERION = (
    f"the 95 % interval of λ₁ lies below 0 (g = {REGIMES['stable']}) and above 0 (g = {REGIMES['chaotic']}), |λ₁| < "
    f"{MARGIN} at g = {REGIMES['marginal']}; the distance shrinks and grows by more than {FACTOR:g} and changes by "
    f"less in between; and from g = 1.5 on, λ₁ is within {NEAR} of mean-field theory"
)


def network(g: float, units: int, seed: int) -> nn.RNN:
    """A tanh network whose recurrent matrix is Gaussian, scaled to spectral radius g."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(units, units, generator=generator, dtype=torch.float64)
    module = nn.RNN(1, units, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        module.weight_hh_l0.copy_(g * weight / torch.linalg.eigvals(weight).abs().max())
    return module


def distances(weight: Tensor, steps: int, transient: int = 500) -> Tensor:
    """Distance of two trajectories over `steps` steps, relative to the first."""
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(len(weight), generator=generator, dtype=torch.float64)
    for _ in range(transient):
        state = torch.tanh(weight @ state)
    push = torch.randn(len(weight), generator=generator, dtype=torch.float64)
    pair = torch.stack([state, state + SMALL * push / push.norm()])
    found = []
    for _ in range(steps + 1):
        found.append((pair[1] - pair[0]).norm())
        pair = torch.tanh(pair @ weight.T)
    return torch.stack(found) / found[0]


def measure(units: int, steps: int) -> dict[str, Any]:
    regimes, sweep = {}, []
    for name, g in REGIMES.items():
        module = network(g, units, seed=1)
        spectrum = spectrum_of(module, steps)
        low, high = spectrum.confidence_interval()
        regimes[name] = {
            "g": g,
            "largest": float(spectrum.exponents[0]),
            "interval": [float(low[0]), float(high[0])],
            "kaplan_yorke_dimension": spectrum.kaplan_yorke_dimension,
            "spectrum": spectrum.exponents.tolist(),
            "distance": distances(module.weight_hh_l0.detach(), 100).tolist(),
        }
    for g in SWEEP:
        each = [float(spectrum_of(network(g, units, seed), steps, k=1).exponents[0]) for seed in (1, 2, 3)]
        sweep.append({"g": g, "largest": each, "theory": mean_field(g).largest})
    return {"units": units, "steps": steps, "regimes": regimes, "sweep": sweep}


def spectrum_of(module: nn.RNN, steps: int, k: int | None = None) -> Any:
    start = torch.randn(module.hidden_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return lyapunov_spectrum(module, steps=steps, warmup=steps // 2, k=k, initial_state=start)


def judge(numbers: dict[str, Any]) -> Verdict:
    stable, marginal, chaotic = (numbers["regimes"][name] for name in REGIMES)
    last = {name: found["distance"][-1] for name, found in numbers["regimes"].items()}
    gaps = [np.mean(row["largest"]) - row["theory"] for row in numbers["sweep"] if row["g"] >= 1.5]
    reproduced = bool(
        stable["interval"][1] < 0 < chaotic["interval"][0]
        and abs(marginal["largest"]) < MARGIN
        and last["stable"] < 1 / FACTOR < last["marginal"] < FACTOR < last["chaotic"]
        and max(map(abs, gaps)) < NEAR
    )
    finding = (
        f"λ₁ = {stable['largest']:.3f}, {marginal['largest']:.4f}, {chaotic['largest']:.3f} at g = "
        f"{stable['g']}, {marginal['g']:g}, {chaotic['g']:g}; in 100 steps a distance changes by a factor of "
        f"{last['stable']:.0e}, {last['marginal']:.2g}, {last['chaotic']:.0e}; largest gap to theory {max(map(abs, gaps)):.3f}"
    )
    return Verdict(VOGT_2022, CLAIM, CRITERION, reproduced, finding)


def draw(numbers: dict[str, Any]) -> Any:
    axes = [
        ("steps", "distance, relative to the first"),
        ("index i of the exponent", "exponent λ (nats per step)"),
    ]
    axes.append(("spectral radius g of the recurrent weights", "largest exponent λ₁ (nats per step)"))
    figure = panels(["a small perturbation", "Lyapunov spectra", "from stable to chaotic"], axes)
    for (name, found), colour in zip(numbers["regimes"].items(), LIGHT.kinds, strict=False):
        common = {"mode": "lines", "line": {"color": colour, "width": 2.5}, "legendgroup": name}
        label = f"{name}, g = {found['g']:g}"
        figure.add_scatter(y=found["distance"], name=label, **common, row=1, col=1)
        index = np.arange(1, len(found["spectrum"]) + 1)
        figure.add_scatter(x=index, y=found["spectrum"], name=label, showlegend=False, **common, row=1, col=2)
    figure.update_yaxes(type="log", exponentformat="power", row=1, col=1)
    g = [row["g"] for row in numbers["sweep"]]
    points = {"mode": "markers", "marker": {"color": LIGHT.muted, "size": 7}, "row": 1, "col": 3}
    for seed in range(3):
        each = [row["largest"][seed] for row in numbers["sweep"]]
        figure.add_scatter(
            x=g, y=each, name="three networks", showlegend=seed == 0, legendgroup="n", **points
        )
    theory = {"mode": "lines", "line": {"color": LIGHT.ink, "width": 1.5, "dash": "dot"}, "row": 1, "col": 3}
    figure.add_scatter(x=g, y=[row["theory"] for row in numbers["sweep"]], name="mean-field theory", **theory)
    zero_line(figure, 2)
    zero_line(figure, 3)
    return figure


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--units", type=int, default=200)
    arguments.add_argument("--steps", type=int, default=2000)
    options = arguments.parse_args()
    numbers = measure(options.units, options.steps)
    finish(options, "regimes", {"": draw(numbers)}, numbers, judge(numbers))


if __name__ == "__main__":
    run(main)
