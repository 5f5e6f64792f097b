"""A callback for the Trainer of Hugging Face transformers that watches the recurrent part of the model.

    trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=[
        SpectrumCallback({"inputs": sequences}, readout="head", to=TensorBoardLogger(writer))
    ])

Readings go to `to`, and into the log history of the trainer's state, which its checkpoints keep.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from aelle.integrations.callback import MonitorOfCallback
from aelle.integrations.reading import scalars

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "the callback needs transformers; install it with: pip install 'aelle[transformers]'"
    ) from error

READING = "aelle/reading"
"""Where an entry of the log history keeps the whole reading."""


class SpectrumCallback(MonitorOfCallback, TrainerCallback):
    """`SpectrumMonitor` as a callback: before training, after every so many epochs, and on from a checkpoint.

    Takes the arguments of `aelle.SpectrumMonitor` but the model: `inputs` are what the model's forward takes, `part` and
    `readout` qualified names in it. With several processes the first one alone looks.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look before training, or go on from the log history that a checkpoint has brought."""
        if not state.is_world_process_zero:
            return
        model: nn.Module = kwargs["model"]
        kept = [entry[READING] for entry in state.log_history if READING in entry]
        self.monitor, self._saved = None, {"readings": kept}
        self.begin(model)
        self._look(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look after an epoch, where it is due."""
        self._look(state)

    def _look(self, state: TrainerState) -> None:
        epoch = round(state.epoch or 0)
        reading = self.look(epoch, state.global_step)
        if reading is not None and self.monitor is not None:
            numbers: dict[str, Any] = dict(scalars(reading, self.monitor.floor))
            entry = numbers | {"epoch": float(epoch), "step": state.global_step, READING: reading.as_dict()}
            state.log_history.append(entry)
