import needed
import pytest


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_lacking_fails_in_ci_and_is_skipped_elsewhere(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("EARMARK_LABEL_STUDIO", raising=False)
    with pytest.raises(outcome, match="EARMARK_LABEL_STUDIO does not name the program"):
        needed.label_studio()
