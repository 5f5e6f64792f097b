"""A Lightning callback that watches the recurrent part of the module that is trained.

    trainer = lightning.Trainer(callbacks=[SpectrumCallback(batch, readout="head", every=2)])

Readings go to the trainer's own loggers; `aelle/lambda_1` and the others are metrics that EarlyStopping and
ModelCheckpoint can monitor.
"""

from __future__ import annotations

from typing import Any

from aelle.integrations.callback import MonitorOfCallback
from aelle.integrations.monitor import Logger
from aelle.integrations.reading import Reading, scalars

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "the callback needs Lightning; install it with: pip install 'aelle[lightning]'"
    ) from error


class SpectrumCallback(MonitorOfCallback, Callback):
    """`SpectrumMonitor` as a callback: before training, after every so many epochs, and on from a checkpoint.

    Takes the arguments of `aelle.SpectrumMonitor` but the model: `inputs` are what the LightningModule's forward takes,
    `part` and `readout` qualified names in it. With several processes the first one alone looks.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before training, or where a checkpoint has brought it."""
        if trainer.is_global_zero:
            monitor = self.begin(pl_module)
            monitor.to += [found for found in map(_of_lightning, trainer.loggers) if found is not None]
            self._look(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look after an epoch, where it is due."""
        reading = self._look(trainer, trainer.current_epoch + 1)
        if reading is not None and self.monitor is not None:
            pl_module.log_dict(scalars(reading, self.monitor.floor), logger=False, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        """What goes into Lightning's checkpoints."""
        return {} if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it until training begins."""
        self._saved = state_dict or None

    def _look(self, trainer: Trainer, epoch: int) -> Reading | None:
        reading = self.look(epoch, trainer.global_step)
        if reading is not None and self.monitor is not None:
            numbers = scalars(reading, self.monitor.floor) | {"epoch": float(epoch)}
            for logger in trainer.loggers:
                if _of_lightning(logger) is None:
                    logger.log_metrics(numbers, step=trainer.global_step)
        return reading


def _of_lightning(logger: Any) -> Logger | None:
    """Ours for the three that take pictures; None for any other."""
    kind = type(logger).__name__
    if kind == "TensorBoardLogger":
        from aelle.integrations.tensorboard import TensorBoardLogger

        return TensorBoardLogger(logger.experiment)
    if kind == "WandbLogger":
        from aelle.integrations.wandb import WandbLogger

        return WandbLogger(logger.experiment)
    if kind == "MLFlowLogger":
        from aelle.integrations.mlflow import MLflowLogger

        return MLflowLogger(logger.run_id, logger.experiment)
    return None
