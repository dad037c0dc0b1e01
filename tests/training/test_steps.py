import dataclasses

from training.cause import Cause
from training.findings import Findings
from training.steps import reward, steps


def cause(name: str, verdict: str = "supported", *, gain: float | None = None, minutes: float | None = None) -> Cause:
    return Cause(name, verdict, "", "do it" if verdict != "cleared" else "", gain, minutes)


def test_what_is_free_comes_first_then_what_brings_most_a_minute_then_what_nobody_can_estimate(
    found: Findings,
) -> None:
    listed = [
        cause("not estimated", "not known"),
        cause("slow", gain=0.1, minutes=60),
        cause("cleared", "cleared", gain=1, minutes=1),
        cause("fast", "not known", gain=0.05, minutes=4),
        cause("free", minutes=0),
        cause("free, maybe", "not known", minutes=0),
    ]
    named = [step.name for step in steps(found, listed)]
    assert named == ["free", "fast", "slow", "rejected recordings", "not estimated", "free, maybe"]


def test_rejected_recordings_are_to_be_mended_where_there_are_some(found: Findings) -> None:
    (step,) = steps(found, [])
    assert step.advice == r"Mend what `data/rejects.csv` lists, first `hush\u007c.wav`: `below -60 dBFS throughout <b>`"
    assert steps(dataclasses.replace(found, rejects=found.rejects.head(0)), []) == []


def test_gain_and_work_are_said_as_far_as_they_are_known() -> None:
    assert reward(cause("", gain=0.084, minutes=4.02)) == " (about +0.08 balanced accuracy, 4.0 minutes)"
    assert reward(cause("", minutes=0)) == " (no human work)"
    assert reward(cause("")) == ""
