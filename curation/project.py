"""Make the project on the server what params.yaml says: its page, its instructions, blind or hinted."""

from collections.abc import Mapping, Sequence

import click
from tqdm import tqdm

from curation import page
from curation.annotation import UNKNOWN
from curation.files import Json
from curation.label_studio import Params, Project, Server, Task


def prepared(server: Server, p: Params, classes: Sequence[str], examples: Mapping[str, Sequence[str]]) -> Project:
    """Return the project `p.project`, made when there is none, with the page and the instructions of today.

    Args:
        server: where people answer.
        p: section `label_studio` of params.yaml.
        classes: the labels to choose from.
        examples: addresses of clips to be heard in the instructions, by class.
    """
    hinted = p.shown == "hinted"
    config = page.config(classes, hinted=hinted).strip()
    text = page.instructions(classes, examples, hinted=hinted)
    project = server.project(p.project)
    if project is None:
        made = server.create_project(p.project, config, hinted=hinted)
        project = server.project(p.project) or made  # another push may have made it first
    if project.hinted != hinted:
        click.echo(
            f"push: project {p.project!r} {'shows' if project.hinted else 'hides'} the model's guess and is set to "
            f"`{p.shown}`; answers to what somebody has begun come home with `shown` {UNKNOWN}.",
            err=True,
        )
        disclaim(server, project)
    elif project.config.strip() != config:
        click.echo(f"push: the page of project {p.project!r} differs from earmark's and is set to it.", err=True)
    changed: dict[str, Json] = {}
    if project.config.strip() != config or project.hinted != hinted:
        changed |= {"label_config": config, "show_collab_predictions": hinted}
    if project.instructions != text:
        changed |= {"expert_instruction": text, "show_instruction": True}
    return server.update_project(project, changed) if changed else project


def disclaim(server: Server, project: Project) -> None:
    """Let no task of a project say any longer what is shown with it, before that changes.

    Those that nobody has touched may be open in a browser: the push makes them anew. What somebody does meanwhile is
    why it takes another look.
    """
    while claiming := _claiming(server, project):
        for task in tqdm(claiming, "mark", unit=" tasks", delay=2):
            server.update_task(task.id, {**task.data, "shown": UNKNOWN})


def _claiming(server: Server, project: Project) -> list[Task]:
    return [
        task
        for task in server.tasks(project)
        if isinstance(task.data.get("clip_id"), str) and task.data.get("shown", UNKNOWN) != UNKNOWN
    ]
