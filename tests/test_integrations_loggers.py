"""Loggers and callbacks against the real packages, offline; each skips where its package is not installed."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from aelle.integrations.monitor import SpectrumMonitor
from aelle.integrations.reading import Reading
from aelle.integrations.rule import IntegrationError
from tests.stand_ins import lstm_and_inputs

NUMBERS = {
    "aelle/lambda_1", "aelle/mean_exponent", "aelle/kaplan_yorke_dimension", "aelle/readout_growth_at_horizon",
    "aelle/gradient_reach", "aelle/look_seconds", "aelle/epoch",
}  # fmt: skip


def watched(logger):
    """Epoch 0 with gradients that reach back, epoch 1 without: two readings and one warning."""
    lstm, inputs = lstm_and_inputs()
    monitor = SpectrumMonitor(lstm, inputs, to=logger)
    for epoch, bias in enumerate((4.0, -4.0)):
        with torch.no_grad():
            lstm.bias_ih_l0[8:16] = bias
        monitor(epoch)
    return monitor.readings


@pytest.mark.slow
def test_a_missing_package_is_named_with_its_extra():
    code = """
import importlib, sys
for name in sys.argv[1:]:
    sys.modules[name] = None
    try:
        importlib.import_module(f"aelle.integrations.{name}")
    except ImportError as error:
        print(str(error).rsplit("with: ")[-1])
"""
    names = ["optuna", "wandb", "mlflow", "lightning", "transformers"]
    found = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert found.stdout.splitlines() == [f"pip install 'aelle[{name}]'" for name in names], found.stderr


def test_the_monitor_itself_imports_none_of_them():
    packages = (
        "{'lightning', 'transformers', 'wandb', 'mlflow', 'tensorboard', 'matplotlib', 'plotly', 'optuna'}"
    )
    code = f"import sys, aelle.integrations.monitor; sys.exit(', '.join({packages} & set(sys.modules)) or 0)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


# --- TensorBoard --------------------------------------------------------------------------------------


def events_of(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0})  # all of them
    events.Reload()
    return events


def test_tensorboard_holds_numbers_pictures_and_the_warning(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from torch.utils.tensorboard import SummaryWriter

    from aelle.integrations.tensorboard import TensorBoardLogger

    with SummaryWriter(tmp_path) as writer:
        readings = watched(TensorBoardLogger(writer))
    events = events_of(tmp_path)
    assert set(events.Tags()["scalars"]) == NUMBERS
    found = [(event.step, event.value) for event in events.Scalars("aelle/lambda_1")]
    assert found == [(r.epoch, pytest.approx(r.leading[0], rel=1e-6)) for r in readings]
    pictures = events.Images("aelle/spectrum")
    assert [picture.step for picture in pictures] == [0, 1]
    assert pictures[0].encoded_image_string.startswith(b"\x89PNG")
    assert events.Tags()["tensors"] == ["aelle/warning/text_summary"]
    with pytest.raises(TypeError, match=r"expected a torch.utils.tensorboard.SummaryWriter, got str"):
        TensorBoardLogger("runs")


# --- Weights & Biases ---------------------------------------------------------------------------------


def test_wandb_holds_numbers_pictures_and_the_warning(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs the wandb extra")
    from aelle.integrations.wandb import WandbLogger

    with pytest.raises(IntegrationError, match=r"call wandb\.init first"):
        WandbLogger()
    run = wandb.init(mode="offline", dir=tmp_path, project="aelle", settings=wandb.Settings(silent=True))
    logged = []
    monkeypatch.setattr(run, "log", lambda values, log=run.log: (logged.append(values), log(values)))
    readings = watched(WandbLogger())
    warning, last = run.summary["aelle/warning"], dict(run.summary)
    run.finish()
    assert "no longer reach back 60 steps" in warning
    assert [set(values) for values in logged] == [NUMBERS | {"aelle/spectrum"}] * 2
    assert last["aelle/lambda_1"] == pytest.approx(readings[-1].leading[0])
    assert len(list(tmp_path.rglob("media/images/**/*.png"))) == 2
    assert list(tmp_path.rglob("run-*.wandb"))


# --- MLflow -------------------------------------------------------------------------------------------


def test_mlflow_holds_numbers_pictures_and_the_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no database for a test
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    from aelle.integrations.mlflow import MLflowLogger

    with pytest.raises(IntegrationError, match=r"call mlflow\.start_run first"):
        MLflowLogger()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"file:{tmp_path}")
    try:
        mlflow.set_experiment("latch")
        with mlflow.start_run() as run:
            readings = watched(MLflowLogger())
        client = mlflow.MlflowClient()
        kept = client.get_run(run.info.run_id).data
        history = client.get_metric_history(run.info.run_id, "aelle/lambda_1")
        files = [file.path for file in client.list_artifacts(run.info.run_id, "aelle")]
    finally:
        mlflow.set_tracking_uri(before)
    assert set(kept.metrics) == NUMBERS
    assert [(m.step, m.value) for m in history] == [(r.epoch, pytest.approx(r.leading[0])) for r in readings]
    assert "no longer reach back 60 steps" in kept.tags["aelle.warning"]
    assert files == ["aelle/spectrum-000000.png", "aelle/spectrum-000001.png"]


# --- Lightning ----------------------------------------------------------------------------------------


def lightning_module():
    lightning = pytest.importorskip("lightning", reason="needs the lightning extra")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 1)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

        def training_step(self, batch, _):
            loss = (self(batch[0]) - batch[1]).square().mean()
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

    torch.manual_seed(0)
    return Module()


def fit(folder, epochs, callbacks, logger, checkpoint=None):
    import lightning

    x = torch.randn(32, 12, 3, generator=torch.Generator().manual_seed(1))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, 0, :1]), batch_size=16)
    trainer = lightning.Trainer(
        default_root_dir=folder, max_epochs=epochs, callbacks=callbacks, logger=logger, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    module = lightning_module()
    trainer.fit(module, loader, ckpt_path=checkpoint)
    return trainer, module


def numbers_of(readings):
    """Readings without their price, which is never the same twice."""
    return [{name: value for name, value in r.as_dict().items() if name != "seconds"} for r in readings]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_as_before_and_goes_on_from_a_checkpoint(tmp_path):
    lightning_module()
    from lightning.pytorch.callbacks import EarlyStopping
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from aelle.integrations.lightning import SpectrumCallback

    inputs = torch.randn(3, 12, 3, generator=torch.Generator().manual_seed(2))
    _, plain = fit(tmp_path / "plain", 4, [], False)
    whole = SpectrumCallback(inputs, readout="head")
    loggers = [CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path / "board")]
    # λ₁ is a metric to stop or keep checkpoints by; this one never stops.
    stopping = EarlyStopping("aelle/lambda_1", mode="max", patience=100, strict=True)
    trainer, module = fit(tmp_path / "whole", 4, [whole, stopping], loggers)
    for (name, a), b in zip(plain.state_dict().items(), module.state_dict().values(), strict=True):
        assert torch.equal(a, b), f"watching changed {name}"
    assert [reading.epoch for reading in whole.readings] == [0, 1, 2, 3, 4]
    assert float(trainer.callback_metrics["aelle/lambda_1"]) == pytest.approx(
        whole.readings[-1].leading[0], rel=1e-6
    )
    written = next((tmp_path / "csv").rglob("metrics.csv")).read_text()
    assert "aelle/lambda_1" in written.splitlines()[0]
    events = events_of(next((tmp_path / "board").rglob("events*")).parent)
    assert [event.step for event in events.Scalars("aelle/lambda_1")] == [0, 2, 4, 6, 8]
    assert len(events.Images("aelle/spectrum")) == 5

    half = SpectrumCallback(inputs, readout="head")
    trainer, _ = fit(tmp_path / "half", 2, [half], False)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed = SpectrumCallback(inputs, readout="head")
    fit(tmp_path / "half", 4, [resumed], False, tmp_path / "half.ckpt")
    assert numbers_of(resumed.readings) == numbers_of(whole.readings)
    assert resumed.readings[:3] == half.readings


@pytest.mark.filterwarnings("ignore")
def test_lightning_looks_where_it_is_due_and_refuses_what_does_not_fit_at_once(tmp_path):
    lightning_module()
    from aelle.integrations.lightning import SpectrumCallback

    every = SpectrumCallback(torch.randn(3, 12, 3), every=2)
    fit(tmp_path, 3, [every], False)
    assert [reading.epoch for reading in every.readings] == [0, 2]
    with pytest.raises(IntegrationError, match=r"no torch\.nn\.Linear 'out' to read with; it has head"):
        fit(tmp_path, 3, [SpectrumCallback(torch.randn(3, 12, 3), readout="out")], False)


# --- transformers -------------------------------------------------------------------------------------


class Sequences(torch.utils.data.Dataset):
    def __init__(self):
        self.x = torch.randn(32, 12, 3, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"inputs": self.x[i], "labels": self.x[i, 0, :1]}


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, inputs, labels=None):
        found = self.head(self.lstm(inputs)[0][:, -1])
        return {"loss": None if labels is None else (found - labels).square().mean(), "logits": found}


def hugging_face(folder, epochs, callbacks, resume=None):
    import transformers

    torch.manual_seed(0)
    model = Regressor()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=16, save_strategy="epoch",
        logging_steps=1, report_to="none", use_cpu=True, disable_tqdm=True, lr_scheduler_type="constant", seed=3,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=Sequences(), callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_hugging_face_trainer_trains_as_before_and_goes_on_from_a_checkpoint(tmp_path):
    pytest.importorskip("transformers", reason="needs the transformers extra")
    pytest.importorskip("accelerate", reason="needs the transformers extra")
    from aelle.integrations.transformers import READING, SpectrumCallback

    def callback():
        inputs = torch.randn(3, 12, 3, generator=torch.Generator().manual_seed(2))
        return SpectrumCallback({"inputs": inputs}, readout="head")

    plain, whole = hugging_face(tmp_path / "plain", 3, []), callback()
    trainer = hugging_face(tmp_path / "whole", 3, [whole])
    for (name, a), b in zip(
        plain.model.state_dict().items(), trainer.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), f"watching changed {name}"
    assert [reading.epoch for reading in whole.readings] == [0, 1, 2, 3]
    resumed = callback()
    hugging_face(tmp_path / "whole", 3, [resumed], str(tmp_path / "whole" / "checkpoint-2"))
    assert numbers_of(resumed.readings) == numbers_of(whole.readings)
    state = json.loads((tmp_path / "whole" / "checkpoint-6" / "trainer_state.json").read_text())
    kept = [Reading(**entry[READING]) for entry in state["log_history"] if READING in entry]
    assert numbers_of(kept) == numbers_of(whole.readings)
    assert {"aelle/lambda_1", "epoch", "step"} <= set(state["log_history"][0])
