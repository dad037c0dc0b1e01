import shutil
from pathlib import Path

import pytest
import rows
import stand
from click.testing import CliRunner, Result

from training import report

GOLDEN = Path(__file__).with_name("insights.md")


@pytest.fixture
def project(folder: Path, found: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the files, which a test may change, and go there."""
    copy = Path(shutil.copytree(folder, tmp_path / "project"))
    monkeypatch.chdir(copy)
    shutil.copy(rows.PARAMS, "params.yaml")
    return copy


def run(out: str = "reports/insights.md", page: str = "reports/index.html") -> Result:
    tables = ("flagging", "metrics", "robustness")
    folders = ("predictions", "plots", "live", "audio")
    endings = {name: "" if name in folders else ".json" if name in tables else ".csv" for name in report.INPUTS}
    arguments = [word for name, ending in endings.items() for word in (f"--{name}", f"{name}{ending}")]
    return CliRunner().invoke(report.main, [*arguments, "--out", out, "--page", page])


def test_the_stage_writes_both_pages_the_same_bytes_twice(project: Path) -> None:
    assert run().output == "report: reports/insights.md, reports/index.html\n"
    assert Path("reports/insights.md").read_bytes() == GOLDEN.read_bytes()
    run(page="again.html")
    assert Path("reports/index.html").read_bytes() == Path("again.html").read_bytes()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("flagging.json", "{}", "flagging.json must hold an object with ['label_issues', 'why']"),
        ("metrics.json", None, "metrics.json does not exist. `dvc repro` makes it."),
        ("metrics.json", "\xff", "metrics.json is not JSON"),
        ("robustness.json", None, "robustness.json does not exist. `dvc repro` makes it."),
        ("shifts.csv", None, "shifts.csv does not exist"),
        ("live/lite_cnn/fold_0/plots/metrics/train_loss.tsv", "step\n1\n", "live/lite_cnn holds no training curves"),
        ("live/lite_cnn/fold_0/params.yaml", "a: [", "live/lite_cnn holds no training curves"),
        ("live/lite_cnn/fold_0/params.yaml", "a: 1", "live/lite_cnn holds no training curves"),
        ("predictions/wav2vec2.csv", None, "predictions/wav2vec2.csv does not exist"),
        ("audio/h11.wav", None, "audio/h11.wav"),
    ],
)
def test_what_is_missing_or_broken_is_one_line_that_names_it(
    project: Path, file: str, content: str | None, said: str
) -> None:
    path = project / file
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="latin-1")
    result = run()
    assert result.exit_code == 1
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not Path("reports/index.html").exists()


def test_a_small_rate_is_a_number_as_dvclive_writes_it(project: Path) -> None:
    recipe = Path("live/wav2vec2/fold_0/params.yaml")
    recipe.write_text(recipe.read_text().replace("peak_rate: 0.001", "peak_rate: 1e-07"))
    assert run().exit_code == 0
    assert "wav2vec2.peak_rate=3e-07" in Path("reports/insights.md").read_text()


def test_a_model_without_curves_is_reported_all_the_same(project: Path) -> None:
    shutil.rmtree("live/wav2vec2")
    assert run().exit_code == 0
    assert "**training of `wav2vec2`**. It left no training curve." in Path("reports/insights.md").read_text()


def test_the_stand_is_read_as_it_was_written(found: object) -> None:
    assert list(found.metrics) == ["lite_cnn", "wav2vec2"]
    assert found.verdicts["wav2vec2"].collapsed
    assert not found.verdicts["lite_cnn"].collapsed
    assert found.tested is False
    assert found.listening_min == pytest.approx(3 * 31 / 60)
    assert set(found.doubted["clip_id"]) == set(stand.WRONG)
