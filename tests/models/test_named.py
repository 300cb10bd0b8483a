"""Models by name: what the libraries describe goes in, nothing is downloaded, all else is told."""

import enum
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actcompare.errors import ActcompareError, UsageError
from actcompare.models.named import Described, described, is_named, load_named
from tests.conftest import Run


def library(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Put a library in the place of the real one."""
    made = ModuleType(name)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)


class Pixels(nn.Module):
    pretrained_cfg: dict[str, Any] = {"input_size": (3, 8, 8)}  # noqa: RUF012

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Language(nn.Module):
    main_input_name = "input_ids"

    def __init__(self, vocab_size: int = 9) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size)
        self.embed, self.fc = nn.Embedding(vocab_size, 4), nn.Linear(4, 4)

    def forward(self, input_ids: Tensor) -> Tensor:
        return nn.functional.gelu(self.fc(self.embed(input_ids)))


def test_what_is_a_name() -> None:
    assert [is_named(t) for t in ("timm:resnet18", "hf:a/b", "m.py:net", "timm", "my.timm:x")] == [
        *(True, True, False, False, False)
    ]


def test_timm_describes_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def create_model(name: str, **given: Any) -> nn.Module:
        asked.update(given, name=name)
        return Pixels(given.get("num_classes", 5))

    library(monkeypatch, "timm", create_model=create_model)
    model, takes = load_named("timm:resnet18:num_classes=7")
    assert asked == {"name": "resnet18", "pretrained": False, "num_classes": 7}
    batches = list(takes.batches(5, 2, 0))
    assert [batch.shape for batch in batches] == [(2, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8)]
    assert model(batches[0]).shape == (2, 7)
    assert torch.equal(batches[0], next(takes.batches(5, 2, 0)))
    assert not torch.equal(batches[0], next(takes.batches(5, 2, 1)))


def test_torchvision_downloads_no_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def build(*, weights: Any = 1, weights_backbone: Any = 1, **given: Any) -> nn.Module:
        asked.update(given, weights=weights, weights_backbone=weights_backbone)
        return Pixels()

    class Weights(enum.Enum):
        DEFAULT = SimpleNamespace(crop_size=[8])

        def transforms(self) -> Any:
            return self.value

    models = SimpleNamespace(get_model_builder=lambda _: build, get_model_weights=lambda _: Weights)
    library(monkeypatch, "torchvision", models=models)
    _, takes = load_named("torchvision:net")
    assert asked == {"weights": None, "weights_backbone": None}
    assert takes == Described((3, 8, 8))


def test_a_class_of_configs_makes_a_model_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    class PretrainedConfig:
        def __init__(self, **given: Any) -> None:
            self.given = given

    class AutoModel:
        @staticmethod
        def from_config(config: PretrainedConfig) -> nn.Module:
            return Language(**config.given)

    library(
        monkeypatch,
        "transformers",
        PretrainedConfig=PretrainedConfig,
        TinyConfig=type("TinyConfig", (PretrainedConfig,), {}),
        AutoModel=AutoModel,
    )
    model, takes = load_named("hf:TinyConfig:vocab_size=11")
    (batch,) = takes.batches(3, 64, 0)
    assert set(batch) == {"input_ids"}
    assert batch["input_ids"].shape == (3, 16)
    assert int(batch["input_ids"].max()) < 11
    assert model(**batch).shape == (3, 16, 4)


def test_detectors_take_lists() -> None:
    ([images],) = Described((3, 8, 8), listed=True).batches(2, 64, 0)
    assert [image.shape for image in images] == [(3, 8, 8)] * 2


def test_tokens_need_an_embedding() -> None:
    assert described(Language(), 7) == Described((7,), 9, "input_ids")
    with pytest.raises(ActcompareError, match=r"no nn\.Embedding"):
        described(Pixels(), 7)


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ("timm:", UsageError, "names no model: write timm:NAME"),
        ("timm:a:b=", UsageError, "write parameters as name=value"),
        ("timm:nothing", ActcompareError, "timm:nothing cannot be made: ValueError: unknown"),
    ],
)
def test_what_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, target: str, error: type[Exception], said: str
) -> None:
    def create_model(name: str, **_: Any) -> nn.Module:
        raise ValueError(f"unknown {name}")

    library(monkeypatch, "timm", create_model=create_model)
    with pytest.raises(error, match=said):
        load_named(target)


def test_a_library_that_is_missing_or_broken_is_named(
    monkeypatch: pytest.MonkeyPatch, in_tmp: Any
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        ActcompareError, match=r"needs timm, which cannot be imported .* pip install"
    ):
        load_named("timm:resnet18")
    (in_tmp / "torchvision.py").write_text("raise RuntimeError('no nms')\n", "utf-8")
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(str(in_tmp))
    with pytest.raises(ActcompareError, match=r"whose import fails \(RuntimeError: no nms\)"):
        load_named("torchvision:resnet18")


# --- on the command line -------------------------------------------------------------------------


def test_inspect_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, "timm", create_model=lambda *_, **__: Pixels())
    done = run("inspect", "timm:resnet18", "-q")
    assert done.exit_code == 0, done.output
    assert "(model) / relu" in done.stdout
    assert "On 16 samples" in done.stdout
    other = run("inspect", "timm:resnet18", "-q", "--random", "3x9x9", "--samples", "5")
    assert "On 5 samples" in other.stdout


def test_inspect_tokens(run: Run, in_tmp: Any) -> None:
    (in_tmp / "words.py").write_text(
        "from torch import nn\n"
        "net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.ReLU())\n",
        "utf-8",
    )
    done = run("inspect", "words.py:net", "-q", "--random-tokens", "6x10", "--format", "csv")
    header, row = done.stdout.splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert (found["units"], found["samples"], found["values"]) == ("4", "6", "60")
    for line, said in (
        (["--random-tokens", "6"], "write samples x length, such as 8x128"),
        (["--random-tokens", "6x10", "--random", "4"], "exclude each other"),
        ([], "name the input"),
    ):
        result = run("inspect", "words.py:net", *line)
        assert result.exit_code == 2
        assert said in result.stderr


# --- with the real library, where it is installed ------------------------------------------------


def test_the_real_transformers(run: Run) -> None:
    pytest.importorskip("transformers")
    tiny = "n_layer=1,n_embd=16,n_head=2,vocab_size=30,bos_token_id=1,eos_token_id=1"
    done = run("inspect", f"hf:GPT2Config:{tiny}", "-q", "--samples", "4")
    assert done.exit_code == 0, done.output
    assert "h.0.mlp.act / gelu:approximate=tanh" in done.stdout
