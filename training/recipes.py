"""The named recipes of params.yaml: what each changes in the section of its model."""

from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
from pydantic import ConfigDict, ValidationError

from curation import params
from training.recipe import Recipe

P = TypeVar("P", bound=Recipe)
Values: TypeAlias = dict[str, Any]


class Params(params.Section):
    """Section `recipes` of params.yaml: by name, the model and what changes in the section of it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Values]


def load(kind: type[P], model: str, path: Path = params.PATH) -> P:
    """Return section `model` of the file `path`, with what the recipe it names changes.

    Raises:
        click.ClickException: there is no such recipe, it is another model's, or a value is not as declared.
    """
    plain = kind.load(model, path)
    if plain.recipe is None:
        return plain
    found = Params.load("recipes", path).model_extra or {}
    known = [name for name, changes in found.items() if changes.get("model") == model]
    if plain.recipe not in known:
        raise click.ClickException(
            f"{path}: `{model}.recipe` is {plain.recipe!r}; the recipes of this model in section `recipes` are {known}."
        )
    changes = {key: value for key, value in found[plain.recipe].items() if key != "model"}
    try:
        return kind.model_validate(changed(plain.model_dump(), changes))
    except ValidationError as error:
        raise params.refused(f"recipes.{plain.recipe}", error, path) from error


def changed(section: Values, changes: Values) -> Values:
    """Return a section with some keys changed; of nested ones the others stay."""
    deep = {
        key: changed(section[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(section.get(key), dict)
    }
    return section | changes | deep
