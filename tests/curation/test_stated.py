from pathlib import Path

import click
import pytest

from curation import stated

EVERYTHING = Path(__file__).parents[1] / "card.yaml"


def written(text: str, folder: Path) -> stated.Stated:
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return stated.read(folder / "card.yaml")


@pytest.mark.parametrize("text", [None, "", "data:\nmodels:\n", "data: {}\n"])
def test_what_nobody_says_is_not_stated_and_says_how_to_state_it(text: str | None, tmp_path: Path) -> None:
    said = stated.read(tmp_path / "card.yaml") if text is None else written(text, tmp_path)
    assert said.line("data", "license") == "not stated (`data.license` in `card.yaml`)"
    assert said.text("models", "intended_use") == "not stated (`models.intended_use` in `card.yaml`)"
    assert {"data.license", "data.consent", "models.intended_use"} <= set(said.missing())


def test_where_everything_is_said_nothing_is_missing() -> None:
    assert stated.read(EVERYTHING).missing() == []


def test_an_organization_is_a_creator(tmp_path: Path) -> None:
    said = written("data: {organizations: [Institute]}", tmp_path)
    assert "data.creators" not in said.missing()
    assert said.line("data", "creators", "organizations") == "Institute"


def test_a_line_is_one_line_a_text_keeps_its_markdown_and_neither_is_html(tmp_path: Path) -> None:
    said = written('data: {name: "a\\n# b", description: "**x**\\n\\n<script>y</script>"}', tmp_path)
    assert said.line("data", "name") == "a # b"
    assert said.text("data", "description") == "**x**\n\n&lt;script>y&lt;/script>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: {licence: mit}", "`data.licence`: Extra inputs are not permitted"),
        ("data: {license: CC BY 4.0}", "`data.license`: String should match pattern"),
        ("data: {license: other}", "a license `other` needs `license_name` and `license_link` beside it"),
        ("data: {url: javascript:alert(1)}", "`data.url`: String should match pattern"),
        ("data: {hub_id: a b}", "`data.hub_id`: String should match pattern"),
        ("data: {language: [no]}", "`data.language.0`: Input should be a valid string"),
        ('data: {name: " "}', "`data.name`: String should have at least 1 character"),
        ("data: [a]", "`data`: Input should be a valid dictionary"),
        ("- a", "valid dictionary"),
        ("data: {a: b: c}", "is not YAML in UTF-8"),
    ],
)
def test_a_fault_is_named_with_its_key(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException) as error:
        written(text, tmp_path)
    assert said in error.value.message


def test_the_documented_file_holds_every_key_and_can_be_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "cards.md").read_text(encoding="utf-8")
    said = written(text.partition("```yaml\n")[2].partition("```")[0], tmp_path)
    for section in (said.data, said.models):
        assert [key for key, value in section if value is None] == []
