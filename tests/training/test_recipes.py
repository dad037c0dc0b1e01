from pathlib import Path

import click
import pytest
import rows
import yaml

from training import lite_cnn, recipes, wav2vec2

MODELS = {"lite_cnn": lite_cnn.Params, "wav2vec2": wav2vec2.Params}
WRITTEN = yaml.safe_load(rows.PARAMS.read_text())["recipes"]
ALL = {name: changes["model"] for name, changes in WRITTEN.items()}


def choose(folder: Path, model: str, recipe: str | None, **changes: object) -> Path:
    """Write the project's params.yaml with another recipe of `model`, and `changes` in that recipe."""
    document = yaml.safe_load(rows.PARAMS.read_text())
    document[model]["recipe"] = recipe
    if changes:
        document["recipes"][recipe] |= changes
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_six_models_have_a_recipe_each() -> None:
    assert list(ALL) == [*(f"lite_cnn_v{n}" for n in range(1, 5)), "wav2vec2_v1", "wav2vec2_v2"]


@pytest.mark.parametrize(("recipe", "model"), ALL.items())
def test_every_recipe_is_valid_and_changes_what_it_names_alone(tmp_path: Path, recipe: str, model: str) -> None:
    plain = recipes.load(MODELS[model], model, choose(tmp_path, model, None)).model_dump()
    found = recipes.load(MODELS[model], model, choose(tmp_path, model, recipe)).model_dump()
    assert {key for key in plain if plain[key] != found[key]} == {*WRITTEN[recipe]} - {"model"} | {"recipe"}


def test_a_nested_change_keeps_its_neighbours(tmp_path: Path) -> None:
    found = recipes.load(lite_cnn.Params, "lite_cnn", choose(tmp_path, "lite_cnn", "lite_cnn_v3"))
    plain = recipes.load(lite_cnn.Params, "lite_cnn", choose(tmp_path, "lite_cnn", None))
    assert (found.augment.tempo, found.augment.crop_s) == (0.2, plain.augment.crop_s)
    assert (found.loss.smoothing, found.loss.kind) == (0.1, plain.loss.kind)


@pytest.mark.parametrize("name", ["lite_cnn_v9", "wav2vec2_v1"])
def test_an_unknown_recipe_and_that_of_another_model_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(click.ClickException, match=rf"`lite_cnn.recipe` is '{name}'; the recipes .*'lite_cnn_v4'"):
        recipes.load(lite_cnn.Params, "lite_cnn", choose(tmp_path, "lite_cnn", name))


def test_a_value_out_of_bounds_is_named_with_its_recipe(tmp_path: Path) -> None:
    path = choose(tmp_path, "lite_cnn", "lite_cnn_v1", dropout=2)
    with pytest.raises(click.ClickException, match=r"`recipes.lite_cnn_v1.dropout`: .*less than 1"):
        recipes.load(lite_cnn.Params, "lite_cnn", path)
