import pandas as pd
import pytest

from curation.agreement import agreement

GIVEN = pd.Series({"c1": "safe", "c2": "harmful", "c3": "safe", "c4": "safe"})


def answers(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["clip_id", "annotator", "answer", "shown"])
    times = [f"2026-01-01T00:00:{second:02}Z" for second in range(len(table))]
    return table.assign(reviewed_utc=times, annotation_id="", annotation_utc="")


def test_without_answers_nothing_is_claimed() -> None:
    assert agreement(answers(), GIVEN) == {
        "clips": 0, "agreeing_pairs": None, "alpha": None, "given_blind": None, "given_hinted": None
    }  # fmt: skip


def test_the_newest_answer_of_each_annotator_counts_and_who_is_unsure_abstains() -> None:
    found = agreement(
        answers(
            ("c1", "ann", "harmful", "blind"),
            ("c1", "ann", "safe", "blind"),
            ("c1", "bob", "safe", "hinted"),
            ("c2", "ann", "safe", "blind"),
            ("c2", "bob", "harmful", "hinted"),
            ("c3", "ann", "safe", "blind"),
            ("c3", "bob", "unsure", "hinted"),
        ),
        GIVEN,
    )
    assert (found["clips"], found["agreeing_pairs"]) == (2, 0.5)
    assert (found["given_blind"], found["given_hinted"]) == (pytest.approx(2 / 3, abs=1e-6), 1.0)


def test_an_answer_counts_again_after_a_later_one_was_taken_back() -> None:
    given = answers(
        ("c1", "ann", "safe", "blind"),
        ("c1", "ann", "harmful", "blind"),
        ("c1", "ann", "deleted", "blind"),
        ("c1", "bob", "safe", "blind"),
    )
    found = agreement(given.assign(annotation_id=["7", "8", "8", "9"]), GIVEN)
    assert (found["clips"], found["agreeing_pairs"], found["given_blind"]) == (1, 1.0, 1.0)


def test_a_clip_without_a_given_label_tells_nothing_of_how_right_given_labels_are() -> None:
    given = pd.Series({"c1": "safe", "c2": ""})
    found = agreement(answers(("c1", "ann", "safe", "blind"), ("c2", "ann", "safe", "blind")), given)
    assert found["given_blind"] == 1.0
    assert agreement(answers(("c2", "ann", "safe", "blind")), given)["given_blind"] is None


def test_alpha_is_that_of_the_textbook() -> None:
    # Krippendorff 2011, example C: nominal data, four observers, twelve units, missing answers; alpha 0.743
    observers = {
        "A": "1 2 3 3 2 1 4 1 2 . . .",
        "B": "1 2 3 3 2 2 4 1 2 5 . 3",
        "C": ". 3 3 3 2 3 4 2 2 5 1 .",
        "D": "1 2 3 3 2 4 4 1 2 5 1 .",
    }
    rows = [
        (f"c{unit}", name, value, "blind")
        for name, values in observers.items()
        for unit, value in enumerate(values.split())
        if value != "."
    ]
    assert agreement(answers(*rows), GIVEN)["alpha"] == pytest.approx(0.743, abs=5e-4)
