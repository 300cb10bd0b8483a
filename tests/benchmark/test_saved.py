import json
from dataclasses import replace
from pathlib import Path

import pytest

from actcompare.benchmark.bench import Benchmark
from actcompare.benchmark.records import Cost, Measurement
from actcompare.benchmark.saved import FORMAT_VERSION, dumps, load
from actcompare.errors import ActcompareError
from tests.benchmark.runs import CASE, benchmark


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text(dumps(benchmark()), encoding="utf-8")
    return path


def test_every_table_can_be_made_again(saved: Path) -> None:
    again = load(saved)
    assert again.columns() == benchmark().columns()
    assert again.reading() == benchmark().reading()
    assert again.config == benchmark().config
    assert again.environment == benchmark().environment
    assert dumps(again) == dumps(benchmark())


def test_what_failed_is_kept_too(tmp_path: Path) -> None:
    whole = benchmark()
    costs = tuple(Cost(label, error="no such thing") for label in whole.config.activations)
    run = replace(whole, measurements=(Measurement(CASE, costs, None),))
    path = tmp_path / "run.json"
    path.write_text(dumps(run), encoding="utf-8")
    assert load(path).failures() == ["no such thing"]
    assert load(path).columns()["verdict"] == ["failed", "failed"]


def test_activations_that_are_not_the_configs_are_told(saved: Path) -> None:
    content = json.loads(saved.read_text(encoding="utf-8"))
    content["config"]["activations"].append("gelu")
    saved.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ActcompareError, match=r"is damaged: .*has other activations than the conf"):
        load(saved)


def test_every_round_is_in_the_file(saved: Path) -> None:
    content = json.loads(saved.read_text(encoding="utf-8"))
    timings = content["measurements"][0]["timings"]
    assert len(timings["seconds"]) == len(timings["order"]) == 100
    assert content["format_version"] == FORMAT_VERSION


def test_no_cut_of_the_file_is_taken_for_a_run(saved: Path) -> None:
    whole = saved.read_text(encoding="utf-8")
    for length in range(1, len(whole) - 1, 997):
        saved.write_text(whole[:length], encoding="utf-8")
        with pytest.raises(ActcompareError, match="damaged"):
            load(saved)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version": 1', '"format_version": 2', "format version 2, but"),
        ('"format": "actcompare bench"', '"format": "other"', "was not written by"),
        ('"seconds": [[', '"seconds": [[1.0], [', "damaged"),
        ('"costs"', '"cost"', "damaged"),
        ('"shape": [1000]', '"shape": [-1]', "damaged"),
        ('"shape": [1000]', '"shape": 7', "damaged"),
        ('"labels": ["0", "1", "copy_"]', '"labels": ["0"]', "damaged"),
        ('"activations"', '"activation"', "damaged"),
        ('"torch": "2.0", ', "", "damaged"),
        ('"margin": 0.01', '"margin": "x"', "config.margin should be a valid number, not 'x'"),
        ('"margin": 0.01', '"margin": NaN', "config.margin should be finite"),
        ('"dtype": "float32"', '"dtype": "int3"', "config.cases.0: dtype 'int3' is not one of"),
        ('"device": "cpu", "dtype"', '"device": "gpu", "dtype"', "cases.0: device 'gpu' is not"),
        ('"shape": [1000]', '"shape": [1000000000000, 1000000000000]', "no tensor has 1,000"),
        ('"order": [[', '"order": [[9, 1, 2, 3], [', "do not match|a candidate that does not"),
        ('"seconds": [[', '"seconds": [[0, 1, 1, 1], [', "damaged"),
        ('"traffic_bytes": 8000', '"traffic_bytes": "many"', "damaged"),
        ('"labels": ["0", "1", "copy_"]', '"labels": ["0", "1", "2"]', "damaged"),
        ('"error": ""', '"error": "it failed"', "damaged"),
    ],
)
def test_what_is_not_a_run_is_told(saved: Path, old: str, new: str, message: str) -> None:
    whole = saved.read_text(encoding="utf-8")
    assert old in whole
    saved.write_text(whole.replace(old, new), encoding="utf-8")
    with pytest.raises(ActcompareError, match=message):
        load(saved)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"', "{}", "", "x,y\n1,2\n"])
def test_other_files_are_not_ours(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ActcompareError, match=str(path)):
        load(path)


def test_runs_of_versions_that_did_not_look_for_waits_are_read(saved: Path) -> None:
    whole = saved.read_text(encoding="utf-8")
    old = whole.replace(', "disturbed": 0, "busy": false', "").replace(
        ', "over_one_thread": null, "busy": false', ""
    )
    assert len(old) < len(whole) - 60
    saved.write_text(old, encoding="utf-8")
    assert load(saved).columns() == benchmark().columns()


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(ActcompareError, match="cannot read"):
        load(tmp_path / "none")
    with pytest.raises(ActcompareError, match="cannot read"):
        load(tmp_path)


def test_a_run_without_measurements(saved: Path) -> None:
    saved.write_text(dumps(replace(benchmark(), measurements=())), encoding="utf-8")
    with pytest.raises(ActcompareError, match="contains no measurement"):
        load(saved)


def test_a_run_is_what_is_loaded(saved: Path) -> None:
    assert isinstance(load(saved), Benchmark)
