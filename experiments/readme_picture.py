"""The picture of the README: spectra of untrained networks, and where the autoencoder puts them.

    aelle run experiments/latch.toml
    python experiments/readme_picture.py artifacts/latch docs/pictures/latch.png

Needs Chrome or Chromium for the PNG.
"""

import sys
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots
from sklearn.decomposition import PCA

from aelle.records import ExperimentFolder, normalised_index, read_records

MARKERS = {"rnn": "circle", "gru": "square", "lstm": "diamond"}


def untrained(folder: ExperimentFolder) -> tuple[pd.DataFrame, str]:
    """Every network at epoch 0, with the metric it will reach and its place in the latent space."""
    records = read_records(folder)
    final = records.groupby("network_id").tail(1).set_index("network_id").val_metric.rename("final")
    start = records[records.epoch == 0].set_index("network_id").join(final)
    latents = pd.read_parquet(folder.latents)
    latents = latents[latents.epoch == 0].set_index("network_id")
    columns = [c for c in latents.columns if c.startswith("latent_")]
    points = PCA(2).fit_transform(latents.loc[start.index, columns])
    return start.assign(
        x=points[:, 0], y=points[:, 1]
    ), f"{records.metric_name[0]} after {records.epoch.max()} epochs"


def draw(networks: pd.DataFrame, metric: str) -> go.Figure:
    """Spectra at the left, latent space at the right, both coloured by the metric that training will reach."""
    titles = ["Lyapunov spectra before training", "the same networks in latent space"]
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.52, 0.48])
    low, high = networks.final.min(), networks.final.max()
    for row in networks.sort_values("final").itertuples():
        colour = sample_colorscale("Viridis", [(row.final - low) / (high - low)])[0]
        x = normalised_index(len(row.spectrum))
        line = go.Scatter(x=x, y=row.spectrum, mode="lines", line={"color": colour, "width": 1}, opacity=0.8)
        figure.add_trace(line.update(showlegend=False), 1, 1)
    for architecture, group in networks.groupby("architecture"):
        marker = {
            "color": group.final, "cmin": low, "cmax": high, "colorscale": "Viridis", "size": 9,
            "symbol": MARKERS.get(str(architecture), "cross"), "line": {"width": 0.5, "color": "white"},
            "colorbar": {"title": {"text": metric, "side": "right"}, "thickness": 12},
        }  # fmt: skip
        points = go.Scatter(x=group.x, y=group.y, mode="markers", marker=marker, showlegend=False)
        figure.add_trace(points, 1, 2)
        grey = {"symbol": marker["symbol"], "color": "#777", "size": 9}  # a legend that names shapes alone
        figure.add_trace(
            go.Scatter(x=[None], y=[None], mode="markers", name=str(architecture), marker=grey), 1, 2
        )
    figure.add_hline(y=0, line={"dash": "dash", "color": "#555", "width": 1}, row=1, col=1)
    figure.update_xaxes(title="index of the exponent / number of exponents", row=1, col=1)
    figure.update_yaxes(title="exponent (nats per step)", range=[-6, 1.5], row=1, col=1)
    figure.update_xaxes(title="first principal component", row=1, col=2)
    figure.update_yaxes(title="second principal component", row=1, col=2)
    legend = {
        "x": 0.69,
        "xanchor": "left",
        "y": 0.03,
        "yanchor": "bottom",
        "bordercolor": "#ccc",
        "borderwidth": 1,
    }
    return figure.update_layout(
        template="plotly_white", width=1100, height=410, margin={"l": 60, "r": 20, "t": 40, "b": 50},
        legend=legend, font={"size": 13},
    )  # fmt: skip


if __name__ == "__main__":
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    draw(*untrained(ExperimentFolder(source))).write_image(target, scale=1.5)
