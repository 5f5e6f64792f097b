"""An experiment and its networks in a few plain words."""

from __future__ import annotations

import math

from aelle.explorer.data import ExplorerData


def experiment_facts(data: ExplorerData) -> str:
    """One line about the whole experiment: `120 networks · digits · spectra at epochs 0, 1, 3`."""
    count = len(data.networks)
    facts = [f"{count:,} network{'' if count == 1 else 's'}"]
    tasks = sorted(set(data.networks["task"].dropna()))
    if tasks:
        facts.append(", ".join(tasks[:4]))
    epochs = data.spectrum_epochs
    if epochs:
        shown = ", ".join(map(str, epochs)) if len(epochs) <= 6 else f"{epochs[0]} to {epochs[-1]}"
        facts.append(f"spectra at epoch{'s' if len(epochs) > 1 else ''} {shown}")
    bad = data.networks["outcome"].value_counts()
    facts += [f"{bad[name]} {name}" for name in ("diverged", "failed", "pruned") if name in bad]
    return " · ".join(facts)


def about_network(data: ExplorerData, network: int) -> str:
    """A few words about one network: `lstm of 32, final accuracy 0.953`."""
    row = data.networks.loc[network].to_dict()
    words = f"{row['architecture']} of {row['hidden_size']}"
    if row["num_layers"] > 1:
        words += f" × {row['num_layers']} layers"
    if not math.isnan(row["final_metric"]):
        words += f", final {data.metric_name} {row['final_metric']:.3f}"
    return words if row["outcome"] == "ok" else f"{words}, {row['outcome']}"
