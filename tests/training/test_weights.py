import json
import subprocess
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torchaudio.pipelines import Wav2Vec2ASRBundle

from training import encoders, weights

SIZE = {"convolutions": [[16, 64, 32], [16, 8, 4]], "width": 16, "heads": 2, "layers": 3, "dropout": 0.1}
CONFIG = encoders.config(encoders.Scratch(**SIZE))
FOLDER = Path("data/pretrained/WAV2VEC2_BASE")


@pytest.fixture
def known(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Make WAV2VEC2_BASE a small bundle, its file where torch keeps what it has downloaded; return its weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    made = encoders.empty(CONFIG | {"aux_num_out": 5})
    (tmp_path / "torch/hub/checkpoints").mkdir(parents=True)
    torch.save(made.state_dict(), tmp_path / "torch/hub/checkpoints/small.pth")
    bundle = Wav2Vec2ASRBundle(
        "small.pth", CONFIG | {"aux_num_out": 5}, 16000, False, "Wav2Vec2", _labels=("a",) * 5, _remove_aux_axis=()
    )
    monkeypatch.setattr("torchaudio.pipelines.WAV2VEC2_BASE", bundle)
    return {key: value for key, value in made.state_dict().items() if not key.startswith("aux")}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(weights.main, ["WAV2VEC2_BASE", *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def test_a_bundle_becomes_a_folder_that_a_run_can_read_and_dvc_tracks(known: dict[str, torch.Tensor]) -> None:
    code, said = run()
    assert code == 0
    assert "Next: `weights: data/pretrained/WAV2VEC2_BASE` in section `wav2vec2`" in said
    encoder, arguments = encoders.pretrained(str(FOLDER), rate_hz=16000)
    assert arguments == json.loads(json.dumps(CONFIG))
    assert encoder.state_dict().keys() == known.keys()
    assert all(torch.equal(encoder.state_dict()[key], value) for key, value in known.items())
    assert "nfiles: 3" in FOLDER.with_suffix(".dvc").read_text()
    assert subprocess.run(["git", "check-ignore", "-q", str(FOLDER)], check=False).returncode == 0
    subprocess.run(["sha256sum", "--check", "model.safetensors.sha256"], cwd=FOLDER, check=True, capture_output=True)
    assert sorted(path.name for path in FOLDER.parent.iterdir()) == [".gitignore", "WAV2VEC2_BASE", "WAV2VEC2_BASE.dvc"]


@pytest.mark.usefixtures("known")
def test_twice_is_once_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    assert run("--no-dvc")[0] == 0
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    code, said = run("--no-dvc")
    assert (code, "has them already, unchanged" in said) == (0, True)
    assert before == {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    (FOLDER / "model.safetensors").write_bytes(before["model.safetensors"][:-1])
    code, said = run("--no-dvc")
    assert (code, "was truncated or changed" in said) == (1, True)


@pytest.mark.usefixtures("known")
def test_a_download_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "torch/hub/checkpoints/small.pth"
    file.write_bytes(file.read_bytes()[:-300])
    code, said = run("--no-dvc")
    assert (code, "cannot be downloaded, or what was downloaded is broken" in said) == (1, True)
    assert not FOLDER.parent.exists() or [*FOLDER.parent.iterdir()] == []


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("name", ["nothing", "../raw", "/etc"])
def test_other_names_are_refused(name: str) -> None:
    result = CliRunner().invoke(weights.main, [name])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")


def test_outside_a_repository_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run()[0] == 1
    assert [*tmp_path.iterdir()] == []
