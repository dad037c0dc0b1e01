"""Read one section of params.yaml, typed and checked."""

from pathlib import Path
from typing import Self

import click
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

PATH = Path("params.yaml")


class Section(BaseModel):
    """A section of params.yaml: its keys, their types and their bounds; no defaults, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def load(cls, name: str, path: Path = PATH) -> Self:
        """Return section `name` of the file `path`.

        Raises:
            click.ClickException: the file, the section or one of its values is not as declared.
        """
        try:
            return cls.model_validate(_section(name, path))
        except ValidationError as error:
            raise refused(name, error, path) from error


class Data(Section):
    """Section `data` of params.yaml: what a clip is."""

    classes: tuple[str, ...] = Field(min_length=2)  # the first one is the positive class
    clip_s: float = Field(gt=0, le=60)  # length of a clip in seconds
    rate_hz: int = Field(ge=8000, le=48000)  # sample rate of the clips

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        reserved = {"", "unsure", "bad_audio", "none", "skipped", "deleted"}
        if len(set(classes)) < len(classes):
            raise ValueError("a class stands twice")
        if taken := reserved & set(classes):
            raise ValueError(f"{sorted(taken)} cannot be classes: these words are answers")
        return classes


def _section(name: str, path: Path) -> object:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise click.ClickException(f"{path} does not exist here. Run this in the folder of dvc.yaml.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} is not YAML in UTF-8: {error}") from error
    if not isinstance(document, dict) or name not in document:
        raise click.ClickException(f"{path} has no section `{name}`. Take it from the project's first params.yaml.")
    return document[name]


def refused(name: str, error: ValidationError, path: Path) -> click.ClickException:
    """Return what to tell about the faults of section `name`."""
    faults = [(".".join(map(str, (name, *fault["loc"]))), fault) for fault in error.errors()]
    told = "; ".join(f"`{key}`: {fault['msg']}, got {fault['input']!r}" for key, fault in faults)
    return click.ClickException(f"{path}: {told}. Mend it and run again.")
