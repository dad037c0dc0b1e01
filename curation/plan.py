"""Compare the tasks on a server with those that are wanted: what has to be done."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from curation.files import Json
from curation.label_studio import Task

Wanted = Mapping[str, Mapping[str, Json]]  # the data of a task by clip
IN_PLACE = 30  # tasks changed at a request each, which takes the server 20 times as long as making them anew


@dataclass(frozen=True)
class Plan:
    """What has to be done to the tasks of a project.

    Of the tasks that say something else than is wanted, `update` are those that come next and may be open in a browser,
    `renew` the clips of those after them: a new task and the old one withdrawn. `kept` is the task of every clip that
    has one and keeps it, wanted or not, `unheard` are the clips whose address has to be checked.
    """

    create: list[str]
    update: dict[int, str]
    renew: list[str]
    withdraw: list[int]
    kept: dict[str, Task]
    unheard: list[str]


def plan(wanted: Wanted, present: Iterable[Task]) -> Plan:
    """Compare the tasks wanted with those present. Tasks that name no clip are somebody else's and left alone."""
    by_clip: dict[str, list[Task]] = defaultdict(list)
    for task in present:
        if isinstance(clip_id := task.data.get("clip_id"), str):
            by_clip[clip_id].append(task)
    kept, changed, withdraw = {}, [], []
    for clip_id, found in by_clip.items():
        data = wanted.get(clip_id)
        staying = [task for task in found if task.touched or (data and task.data.get("shown") == data.get("shown"))]
        if staying:  # of doubles, the one that has an answer, then the one that is as wanted
            kept[clip_id] = best = min(staying, key=lambda task: (not task.touched, _differs(task, data), task.id))
            if data and _differs(best, data):
                changed.append(best)
        withdraw += [task.id for task in found if not task.touched and task is not kept.get(clip_id)]
    changed.sort(key=_rank)
    update = {task.id: str(task.data["clip_id"]) for task in changed[:IN_PLACE]}
    renew = [str(task.data["clip_id"]) for task in changed[IN_PLACE:]]
    create = [clip_id for clip_id in wanted if clip_id not in kept]
    moved = [one for one in (*update.values(), *renew) if kept[one].data.get("audio") != wanted[one].get("audio")]
    return Plan(create, update, renew, sorted(withdraw), kept, create + moved)


def _differs(task: Task, data: Mapping[str, Json] | None) -> bool:
    return not task.touched and dict(task.data) != data


def _rank(task: Task) -> float:
    rank = task.data.get("rank")
    return rank if isinstance(rank, int | float) else 0
