"""Units at intervals of a training loop."""

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import nn

from actcompare import lightning_callback, transformers_callback, watch
from actcompare.errors import UsageError
from actcompare.models.loops.windows import Log, sink_of


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.Tanh())


def passes(model: nn.Module, n: int) -> None:
    for _ in range(n):
        model(torch.randn(5, 6)).sum().backward()


@pytest.mark.parametrize(("every", "window"), [(1, 1), (4, 1), (4, 3), (7, 7)])
def test_windows_hold_their_passes_alone(every: int, window: int) -> None:
    model, rows = net(), list[Mapping[str, float]]()
    with watch(model).every(every, window=window, log=rows) as units:
        passes(model, 3 * every)
        model.eval()
        passes(model, 5)  # not in training
    assert units.passes == 3 * every
    assert [row["step"] for row in rows] == [every, 2 * every, 3 * every]
    for _, layers in units.history:
        assert [layer.name for layer in layers] == ["1 / relu", "3 / tanh"]
        assert {layer.statistics.samples for layer in layers} == {5 * window}
    assert len(units.columns()["pass"]) == 6


def test_training_goes_on_to_the_bit_and_no_hook_is_left() -> None:
    torch.manual_seed(0)
    model = net()
    twin, x = copy.deepcopy(model), torch.randn(5, 6)
    with watch(model).every(2):
        model(x).sum().backward()
        copied = copy.deepcopy(model)
        model(x).sum().backward()
        copied(x)
    twin(x).sum().backward()
    twin(x).sum().backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_an_error_within_a_measured_pass_ends_it() -> None:
    model = net()
    with watch(model).every(1) as units:
        with pytest.raises(RuntimeError):
            model(torch.randn(5, 7))
        passes(model, 1)
    assert units.passes == 2


@pytest.mark.parametrize("name", ["add_scalar", "log_metrics", "log"])
def test_loggers_of_every_kind_are_served(name: str) -> None:
    seen: dict[str, float] = {}

    class Logger:
        pass

    logger = Logger()
    if name == "add_scalar":
        setattr(logger, name, lambda key, value, step: seen.update({key: value, "step": step}))
    else:
        setattr(logger, name, lambda row, step: seen.update(row | {"step": step}))
    log: Log = sink_of(logger)
    log({"units/a": 0.5}, 7)
    assert seen == {"units/a": 0.5, "step": 7}


def test_what_cannot_log_is_refused() -> None:
    with pytest.raises(UsageError, match="log is of type int"):
        watch(net()).every(10, log=3)
    with pytest.raises(UsageError, match="window of 4"):
        watch(net()).every(3, window=4)


def test_tensorboard_takes_the_numbers(tmp_path: object) -> None:
    board = pytest.importorskip("torch.utils.tensorboard")
    with board.SummaryWriter(str(tmp_path)) as writer:
        model = net()
        with watch(model).every(2, log=writer) as units:
            passes(model, 2)
    assert len(units.history) == 1


def test_lightning_fits_with_the_callback() -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    rows: list[Mapping[str, float]] = []

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            return self.net(batch[0]).square().mean()  # type: ignore[no-any-return]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 6)), 8)
    callback = lightning_callback(2, log=rows)
    lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
    ).fit(Module(), data)  # fmt: skip
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    assert "units/net.1.relu/zero_dead_share" in rows[0]


def test_transformers_trains_with_the_callback(tmp_path: object) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    data = [{"input_ids": torch.randint(0, 30, (6,)), "labels": i % 2} for i in range(16)]
    given = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=4, report_to=[],
        use_cpu=True, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    callback = transformers_callback(3)
    trainer = transformers.Trainer(model, given, train_dataset=data, callbacks=[callback])
    trainer.train()
    rows = [row for row in trainer.state.log_history if "units/zero_dead_share" in row]
    assert [row["step"] for row in rows] == [3, 6]
