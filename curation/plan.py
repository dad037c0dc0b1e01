"""Compare the tasks on a server with those that are wanted: what has to be done."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from curation.files import Json
from curation.label_studio import Task

Wanted = Mapping[str, Mapping[str, Json]]  # the data of a task by clip


@dataclass(frozen=True)
class Plan:
    """What has to be done to the tasks of a project.

    `kept` is the task of every clip that has one and keeps it, wanted or not, `unheard` are the clips whose address has
    to be checked.
    """

    create: list[str]
    update: dict[int, str]
    withdraw: list[int]
    kept: dict[str, Task]
    unheard: list[str]


def plan(wanted: Wanted, present: Iterable[Task]) -> Plan:
    """Compare the tasks wanted with those present. Tasks that name no clip are somebody else's and left alone."""
    by_clip: dict[str, list[Task]] = defaultdict(list)
    for task in present:
        if isinstance(clip_id := task.data.get("clip_id"), str):
            by_clip[clip_id].append(task)
    kept, update, withdraw = {}, {}, []
    for clip_id, found in by_clip.items():
        data = wanted.get(clip_id)
        staying = [task for task in found if task.touched or (data and task.data.get("shown") == data.get("shown"))]
        if staying:  # of doubles, the one that has an answer
            kept[clip_id] = best = min(staying, key=lambda task: (not task.touched, task.id))
            if data and not best.touched and dict(best.data) != data:
                update[best.id] = clip_id
        withdraw += [task.id for task in found if not task.touched and task is not kept.get(clip_id)]
    create = [clip_id for clip_id in wanted if clip_id not in kept]
    moved = [one for one in update.values() if kept[one].data.get("audio") != wanted[one].get("audio")]
    return Plan(create, update, sorted(withdraw), kept, create + moved)
