"""What stands in for a predictor and a user's model where their inner working is not the question."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

FINALS = np.linspace(0, 1, 101)  # of the stand-in's training networks


@dataclass
class ByLeadingExponent:
    """A predictor that can be followed by hand: the final metric is 0.8 + λ₁, ± 0.1."""

    task: str = "latch"
    metric_name: str = "accuracy"
    higher_is_better: bool = True
    epochs: tuple = (0, 1, 3)
    spectrum_state: str = "full"
    level: float = 0.9

    def predict(self, rows, epoch, *, explain=True):
        latest = rows[rows["epoch"] == epoch]
        predicted = np.array([0.8 + float(spectrum[0]) for spectrum in latest["spectrum"]])
        return pd.DataFrame(
            {
                "network_id": latest["network_id"].to_numpy(), "epoch": epoch, "predicted": predicted,
                "lower": predicted - 0.1, "upper": predicted + 0.1,
                "percentile": 100 * np.mean(FINALS[None] <= predicted[:, None], axis=1),
                "why": "the leading exponent",
            }
        )  # fmt: skip

    def quantile(self, share):
        ordered = FINALS if self.higher_is_better else FINALS[::-1]
        return float(ordered[round(100 * share)])


def lstm_and_inputs(gain=1.0, seed=0):
    torch.manual_seed(seed)
    lstm = nn.LSTM(3, 8, batch_first=True)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(gain)
    return lstm, torch.randn(4, 60, 3)
