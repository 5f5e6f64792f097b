"""An experiment and its networks in a few plain words."""

from __future__ import annotations

from aelle.explorer.data import ExplorerData
from aelle.records import OUTCOMES

FEWEST_TO_TRAIN = 20  # as aelle.embedding has it, which needs torch


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


def headline_of(data: ExplorerData) -> str:
    """What the report says of each epoch; of one that names winners without saying who is level with them, nothing."""
    comparisons = data.report.get("comparisons") or []
    if any("not_told_apart" not in comparison for comparison in comparisons):
        return f"The report is of an earlier version: run aelle evaluate {data.folder.root} again."
    return str(data.report.get("headline", ""))


def finished_networks(data: ExplorerData) -> int:
    """How many networks have come to their end, good or bad."""
    return int((data.networks["outcome"] != "unfinished").sum())


def next_step(data: ExplorerData) -> str:
    """What is missing here, and the command that makes it; empty where nothing is."""
    root, finished = data.folder.root, finished_networks(data)
    if finished < max(data.planned, len(data.networks)):
        so_far = f"{finished} of {max(data.planned, len(data.networks))} networks have finished"
        return f"{so_far}; this page follows the collection. Where it has stopped, `aelle collect` goes on."
    if not data.has_latents:
        known = int(data.networks["final_metric"].notna().sum())
        if known < FEWEST_TO_TRAIN:
            return (
                f"The latent map needs {FEWEST_TO_TRAIN} networks with an outcome and a spectrum; {known} "
                f"{'has' if known == 1 else 'have'} an outcome. Spectra and learning curves are all there is to see."
            )
        return f"Next: aelle train {root}, which makes the latent map. This page follows."
    return "" if len(data.predictions) else f"Next: aelle evaluate {root}, for early predictions."


def best_network(data: ExplorerData) -> int:
    """The network to show first: the one that ended, or stands, best; the first where nothing was measured."""
    metric = data.points.groupby("network")[["final_metric", "val_metric"]].last()
    for name in metric:
        known = metric[name].dropna()
        if len(known):
            order = known if data.higher_is_better else -known
            return int(known.index.to_numpy()[order.to_numpy().argmax()])
    return int(data.points["network"].iloc[0])


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
    if outcome != "ok":
        return str(outcome)
    return f"final {data.metric_name} {metric:.3f}" if metric == metric else f"no {data.metric_name} recorded"
