"""An experiment and its networks in a few plain words."""

from __future__ import annotations

from aelle.explorer.data import ExplorerData
from aelle.records import OUTCOMES


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
        taken = "looks" if data.look == "economy" else "spectra"
        facts.append(f"{taken} at epoch{'s' if len(epochs) > 1 else ''} {shown}")
    bad = data.networks["outcome"].value_counts()
    facts += [f"{bad[name]} {name}" for name in OUTCOMES if name in bad and name != "ok"]
    return " · ".join(facts)


def about_network(data: ExplorerData, network: int) -> str:
    """A few words about one network: `lstm of 32, final accuracy 0.953`."""
    row = data.networks.loc[network].to_dict()
    words = f"{row['architecture']} of {row['hidden_size']}"
    if row["num_layers"] > 1:
        words += f" × {row['num_layers']} layers"
    return f"{words}, {how_it_ended(data, network)}"


def how_it_ended(data: ExplorerData, network: int) -> str:
    """The outcome of one network: `final accuracy 0.953`, or `diverged`."""
    outcome, metric = data.networks.loc[network, ["outcome", "final_metric"]]
    return f"final {data.metric_name} {metric:.3f}" if outcome == "ok" else str(outcome)
