import numpy as np

from curation.cards import Card, cards
from curation.diff import diff
from curation.snapshot import Snapshot, parse
from curation.vectors import Vectors


def revision(**texts: str) -> Snapshot:
    return parse({name.replace("__", "/"): text.encode() for name, text in texts.items()})


CLIPS = "clip_id,file,label,group,duration_s\nc1,a.wav,safe,g1,2\nc2,b.wav,safe,g2,2\nc3,c.wav,harmful,g3,2\n"
BEFORE = revision(
    clips=CLIPS,
    labels="clip_id,label,origin\nc1,safe,\nc2,safe,\nc3,harmful,\n",
    flags="clip_id,reason,score,suggested\nc1,label,0.1,harmful\nc2,noisy,0.5,\n",
    predictions__cnn="clip_id,label,probability\nc1,harmful,0.75\nc1,safe,0.25\n",
)
AFTER = revision(
    clips=CLIPS.replace("c3,c.wav,harmful,g3,2", "c4,d.wav,harmful,g4,2"),
    labels="clip_id,label,origin\nc1,harmful,review\nc2,safe,given\nc4,harmful,given\n",
    reviews="clip_id,annotator,reviewed_utc,answer\nc1,ann,2026-01-01,harmful\nc2,ann,2026-01-01,safe\n",
    scores="clip_id,label,probability\nc1,harmful,0.4\nc1,safe,0.6\n",
)
VECTORS = Vectors(("c1", "c2", "c4", "gone"), {"x": np.array([[0], [5], [1], [0]], dtype=np.float32)})


def test_a_card_tells_all_there_is_of_a_clip_and_only_changed_clips_have_one() -> None:
    found = {card.clip_id: card for card in cards(diff(BEFORE, AFTER), BEFORE, AFTER, VECTORS)}
    assert list(found) == ["c1", "c4", "c3", "c2"]
    distances = [row.pop("distance") for row in found["c1"].neighbours]
    assert distances == sorted(distances)
    assert found["c1"] == Card(
        clip_id="c1",
        file="a.wav",
        duration_s=2,
        kinds=["relabelled"],
        before={"label": "safe", "origin": "", "group": "g1", "fold": "", "use": ""},
        after={"label": "harmful", "origin": "review", "group": "g1", "fold": "", "use": ""},
        flags=[{"clip_id": "c1", "reason": "label", "score": "0.1", "suggested": "harmful", "when": "before"}],
        answers=[
            {
                "clip_id": "c1",
                "annotator": "ann",
                "reviewed_utc": "2026-01-01",
                "answer": "harmful",
                "seconds": "",
                "shown": "",
                "note": "",
                "annotation_id": "",
                "annotation_utc": "",
            }
        ],
        opinions=[{"model": "cnn", "before": "harmful 0.75"}, {"model": "scoring model", "after": "safe 0.60"}],
        neighbours=[
            {"clip_id": "c4", "file": "d.wav", "label": "harmful"},
            {"clip_id": "c2", "file": "b.wav", "label": "safe"},
        ],
    )
    assert (found["c4"].kinds, found["c4"].before) == (["added"], {})
    assert (found["c3"].kinds, found["c3"].after, found["c3"].file) == (["removed"], {}, "c.wav")


def test_a_new_label_comes_before_a_confirmed_one() -> None:
    before = revision(clips=CLIPS, labels="clip_id,label,origin\nc1,safe,given\nc2,safe,given\n")
    after = revision(clips=CLIPS, labels="clip_id,label,origin\nc1,safe,review\nc2,harmful,review\n")
    found = cards(diff(before, after), before, after, None)
    assert [(card.clip_id, card.kinds) for card in found] == [("c2", ["relabelled"]), ("c1", ["label from elsewhere"])]


def test_a_clip_that_models_are_no_longer_judged_by_says_so() -> None:
    said = "clip_id,label,probability\nc1,harmful,0.75\nc1,safe,0.25\n"
    before = revision(clips=CLIPS, predictions__cnn=said)
    after = revision(clips=CLIPS, labels="clip_id,label,origin\nc1,,review\n", predictions__cnn=said)
    (card,) = cards(diff(before, after), before, after, None)
    assert card.kinds == ["relabelled", "models no longer judged by it"]


def test_without_vectors_no_neighbour_is_claimed() -> None:
    assert {len(card.neighbours) for card in cards(diff(BEFORE, AFTER), BEFORE, AFTER, None)} == {0}
