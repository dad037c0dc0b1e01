"""What dvc.lock says each stage ran with: its params, and the files that belong together."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

PATH = Path("dvc.lock")
TABLES = (".csv", ".json")  # what is hashed again; code and folders are DVC's to watch


@dataclass(frozen=True)
class Lock:
    """The stages that have run, as DVC wrote them down."""

    stages: Mapping[str, Mapping[str, Any]]

    def params(self, stage: str) -> dict[str, Any]:
        """Return the sections of params.yaml that a stage ran with; none when it has not run."""
        return dict(self.stages.get(stage, {}).get("params", {}).get("params.yaml", {}))

    def md5(self, path: str) -> str:
        """Return DVC's hash of a file or folder that some stage reads or writes; empty: none does."""
        return dict(self._files(self.stages)).get(path, "")

    def changed(self, stages: Collection[str]) -> list[str]:
        """Return the tables that one of `stages` read or wrote and that are not now as they were then."""
        then = {(path, md5) for path, md5 in self._files(stages) if path.endswith(TABLES)}
        return sorted({path for path, md5 in then if md5 != _md5(Path(path))})

    def _files(self, stages: Collection[str]) -> Iterator[tuple[str, str]]:
        for stage in stages:
            for kind in ("deps", "outs"):
                for entry in self.stages.get(stage, {}).get(kind, []):
                    yield entry["path"], entry.get("md5", "")


def read(path: Path = PATH) -> Lock:
    """Return what dvc.lock says.

    Raises:
        click.ClickException: it is not there, or not as DVC writes it.
    """
    try:
        return Lock(dict(yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]))
    except FileNotFoundError as error:
        raise click.ClickException(
            f"{path} does not exist here. Run this in the folder of dvc.yaml, after `dvc repro`."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise click.ClickException(f"{path} is not as DVC writes it: {error!r}. `dvc repro` mends it.") from error


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""
