"""Fetch pretrained weights into the project, so that a run needs no network and gives the same again."""

import hashlib
import tempfile
from pathlib import Path

import click
import safetensors.torch

from curation import files, versions
from training import encoders

EPILOG = """\b
NAME is a bundle of torchaudio.pipelines: WAV2VEC2_BASE, WAV2VEC2_XLSR53,
HUBERT_BASE, WAVLM_BASE and others. A folder with its name gets config.json,
model.safetensors and the SHA-256 of the weights, by which every run checks them.

\b
Examples:
  earmark weights WAV2VEC2_BASE          0.4 GB
  earmark weights HUBERT_BASE --no-dvc   DVC does not track the folder

\b
Exit status: 0 fetched, or there already; 1 refused.
"""


def fetch(name: str, folder: Path) -> str:
    """Write the bundle `name` into the new folder `folder`, whole or not at all, and return its SHA-256."""
    encoder, arguments, rate_hz = encoders.bundle(name)
    content = safetensors.torch.save({key: value.contiguous() for key, value in encoder.state_dict().items()})
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as temporary:
            made = Path(temporary, name)
            made.mkdir()
            (made / encoders.WEIGHTS).write_bytes(content)
            files.write_text(f"{sha256}  {encoders.WEIGHTS}\n", made / encoders.DIGEST)
            files.write_json(arguments | {encoders.RATE: rate_hz}, made / encoders.CONFIG)
            made.replace(folder)
    except OSError as error:
        raise files.unwritable(folder, error) from error
    return sha256


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), default="data/pretrained", show_default=True, help="Where it goes."
)
@click.option("--dvc/--no-dvc", default=True, show_default=True, help="Whether DVC tracks the weights.")
def main(name: str, folder: Path, dvc: bool) -> None:
    """Fetch the pretrained weights NAME into data/pretrained/NAME."""
    if dvc:
        versions.check_repository()
    target = folder / name
    if target.exists():
        encoders.local(target)
        click.echo(f"weights: {target} has them already, unchanged")
    else:
        click.echo(f"weights: SHA-256 {fetch(name, target)}, in {target}")
    if dvc:
        versions.dvc_add(target)
    click.echo(f"Next: `weights: {target}` in section `wav2vec2` of params.yaml, then `dvc repro`")


if __name__ == "__main__":
    main()
