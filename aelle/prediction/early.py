"""Early spectra → predicted final metric: AeLLE on the held-out networks of one fold.

The training networks of a fold are cut into as many parts as the ensemble has members; each part stops one
member early and the other parts train it. A held-out network's score is the mean over members and over
*views*: the bare spectrum transfers best between sizes and architectures, its change since epoch 0 and its
temporal spread say most where learning rates vary, and the mean of both is close to the better of the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset
from aelle.embedding.members import fit_members, validation_splits

AELLE = "AeLLE"
AELLE_IN_CONTEXT = "AeLLE + architecture/size"
METHODS = (AELLE, AELLE_IN_CONTEXT)


def score_fold(
    dataset: SpectraDataset, training: np.ndarray, view: Sequence[str], ensemble: int, seed: int
) -> pd.DataFrame:
    """Fit an ensemble on one view of the training networks and score the others at every epoch.

    Both heads are trained with the encoder and judged on networks that neither saw. The head that also sees
    architecture and size is no second stage on top of finished latents: the latents of training networks
    know their labels, and a regressor fitted to them would trust them too much.

    Returns:
        one row a method and held-out spectrum: method, epoch, network (position), score.
    """
    splits = validation_splits(training, ensemble, seed)
    settings = dataset.experiment.autoencoder.model_copy(update={"channels": list(view)})
    members = fit_members(dataset, splits, settings, seed)
    held_out = dataset.spectra[~training[dataset.spectra["network"]]].reset_index(drop=True)
    embedded, _ = members.embed(held_out, dataset.networks.iloc[held_out["network"].to_numpy()])
    scores = {
        AELLE: embedded.prediction.mean(dim=0).numpy(),
        AELLE_IN_CONTEXT: embedded.prediction_in_context.mean(dim=0).numpy(),
    }
    return pd.concat(
        [held_out[["epoch", "network"]].assign(method=name, score=score) for name, score in scores.items()],
        ignore_index=True,
    )
