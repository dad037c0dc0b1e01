import click
import pandas as pd
import pytest
import rows
import torch

from curation import tables
from training import rounds


def listing(folds: dict[str, int], **labels: str) -> pd.DataFrame:
    """Return the listing of clips in `folds`; those with a label are in the training list, drawn once."""
    train = rows.table(
        tables.TRAIN,
        *({"clip_id": c, "label": label, "fold": folds[c], "times": 1} for c, label in labels.items()),
    )
    held = rows.table(tables.FOLDS, *({"clip_id": c, "fold": f} for c, f in folds.items()))
    return rounds.listing(train, held)


FOLDS = {"a0": 0, "b0": 0, "a1": 1, "b1": 1, "a2": 2, "b2": 2}
LABELS = {clip: clip[0] for clip in FOLDS}


def told(turn: rounds.Round) -> tuple[str, list[int], list[int], list[int]]:
    return turn.name, turn.draws.tolist(), turn.valid.tolist(), turn.held_out.tolist()


def test_each_fold_is_held_out_once_and_the_others_teach() -> None:
    assert [told(turn) for turn in rounds.rounds(listing(FOLDS, **LABELS), "ab", validate=False)] == [
        ("fold_0", [2, 3, 4, 5], [], [0, 1]),
        ("fold_1", [0, 1, 4, 5], [], [2, 3]),
        ("fold_2", [0, 1, 2, 3], [], [4, 5]),
    ]


def test_to_validate_another_fold_is_set_aside() -> None:
    assert [told(turn) for turn in rounds.rounds(listing(FOLDS, **LABELS), "ab", validate=True)] == [
        ("fold_0", [4, 5], [2, 3], [0, 1]),
        ("fold_1", [0, 1], [4, 5], [2, 3]),
        ("fold_2", [2, 3], [0, 1], [4, 5]),
    ]


def test_a_test_fold_is_predicted_by_one_model_that_saw_nothing_of_it() -> None:
    table = listing(FOLDS | {"t": -1}, **LABELS)
    assert [told(turn) for turn in rounds.rounds(table, "ab", validate=True)] == [("test", [2, 3, 4, 5], [0, 1], [6])]
    assert [told(turn) for turn in rounds.rounds(table, "ab", validate=False)] == [
        ("test", [0, 1, 2, 3, 4, 5], [], [6])
    ]


def test_a_clip_is_drawn_as_often_as_listed_and_predicted_though_unlisted() -> None:
    table = listing(FOLDS | {"x": 0, "y": 2}, **LABELS)
    table.loc[table["clip_id"] == "a2", "times"] = 3
    table.loc[table["clip_id"] == "b2", "times"] = 2
    found = rounds.rounds(table, "ab", validate=True)
    assert told(found[0]) == ("fold_0", [4, 4, 4, 5, 5], [2, 3], [0, 1, 6])
    assert told(found[1]) == ("fold_1", [0, 1], [4, 5], [2, 3])
    assert told(found[2]) == ("fold_2", [2, 3], [0, 1], [4, 5, 7])


def test_a_clip_left_out_neither_teaches_nor_chooses_but_is_predicted() -> None:
    table = listing(FOLDS | {"c1": 1}, **LABELS, c1="a")
    table.loc[table["clip_id"] == "c1", "times"] = 0
    found = rounds.rounds(table, "ab", validate=True)
    left_out = table.index[table["clip_id"] == "c1"].item()
    assert [left_out in turn.held_out for turn in found] == [False, True, False]
    assert not any(left_out in turn.draws or left_out in turn.valid for turn in found)


def test_a_training_list_that_holds_a_test_clip_is_refused() -> None:
    with pytest.raises(click.ClickException, match=r"holds a test clip. `dvc repro balance`"):
        listing(FOLDS | {"a0": -1}, **LABELS)


def test_a_training_list_of_other_folds_is_refused() -> None:
    train = rows.table(tables.TRAIN, {"clip_id": "a", "fold": 1})
    with pytest.raises(click.ClickException, match="disagrees with the folds"):
        rounds.listing(train, rows.table(tables.FOLDS, {"clip_id": "a", "fold": 2}))


def test_two_folds_are_too_few() -> None:
    with pytest.raises(click.ClickException, match=r"needs 3 folds, not \[0, 1\]. Raise `split.folds`"):
        rounds.rounds(listing({"a": 0, "b": 1}, a="a", b="b"), "ab", validate=True)


def test_a_class_without_clips_to_learn_from_is_named() -> None:
    three = FOLDS | {"c0": 0, "c1": 1, "c2": 2}
    rounds.rounds(listing(three, **{clip: clip[0] for clip in three}), "abc", validate=True)
    table = listing(three, **LABELS, c0="c", c1="c")
    rounds.rounds(table, "abc", validate=False)
    with pytest.raises(click.ClickException, match=r"fold 0, training has no clip to learn \['c'\] from. Label more"):
        rounds.rounds(table, "abc", validate=True)  # fold 1 is set aside


def test_a_fold_without_listed_clips_cannot_choose_the_epoch() -> None:
    table = listing(FOLDS, a0="a", b0="b", a2="a", b2="b")
    with pytest.raises(click.ClickException, match="no clip in fold 1 to choose the epoch by"):
        rounds.rounds(table, "ab", validate=True)


def test_targets_have_a_one_where_the_label_is() -> None:
    onehot, weights = rounds.targets(listing({"p": 0, "q": 0, "r": 0}, p="b", q="a"), ["a", "b"])
    assert onehot.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert torch.equal(weights, torch.tensor([1.0, 1.0, 0.0]))
