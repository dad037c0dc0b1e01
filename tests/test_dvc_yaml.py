"""dvc.yaml, params.yaml and the code say the same: otherwise a stage goes stale without a word."""

import ast
import importlib
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml

from curation import params

ROOT = Path(__file__).parents[1]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
NOT_DATA = {
    "--checkpoint",  # gone when its stage succeeds: neither input nor output
    "--sent",  # says what a server holds, which is no function of the inputs
}


def instances() -> dict[str, dict]:
    """Return every stage as DVC runs it, a matrix unrolled."""
    found = {}
    for name, stage in DVC["stages"].items():
        for model in stage.get("matrix", {}).get("model", [None]):
            text = yaml.safe_dump(stage).replace("${item.model}", str(model)).replace("${run}", DVC["vars"][0]["run"])
            found[f"{name}@{model}" if model else name] = yaml.safe_load(text)
    return found


STAGES = instances()


def module_of(stage: dict) -> str:
    words = shlex.split(stage["cmd"])
    return words[words.index("-m") + 1]


@cache
def imports(path: Path) -> frozenset[Path]:
    """Return the files of this project that `path` imports, directly or not, `path` among them."""
    found = {path}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            module = ROOT / (name.replace(".", "/") + ".py")
            if module.exists() and module != path:
                found |= imports(module)
    return frozenset(found)


def folders(path: Path) -> set[Path]:
    """Return the folders beside the module `path` that it names: templates, which it reads like code."""
    named = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    return {folder for folder in path.parent.iterdir() if folder.is_dir() and folder.name in named}


def is_code(path: str) -> bool:
    return Path(path).parts[0] in ("curation", "training")


def paths(entries: list) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def needed(name: str) -> set[str]:
    """Return the modules that a stage imports; those of a matrix have one list, so each needs what any of them does."""
    modules = {other: ROOT / (module_of(STAGES[other]).replace(".", "/") + ".py") for other in STAGES}
    matrix = [other for other in STAGES if other.split("@")[0] == name.split("@")[0]]
    found = set().union(*(imports(modules[other]) - {modules[other]} for other in matrix)) | {modules[name]}
    read = {folder for path in found for folder in folders(path)}
    return {str(path.relative_to(ROOT)) for path in found | read}


@pytest.mark.parametrize("name", STAGES)
def test_deps_hold_every_module_and_template_that_the_stage_imports(name: str) -> None:
    assert {path for path in paths(STAGES[name]["deps"]) if is_code(path)} == needed(name)


@pytest.mark.parametrize("name", STAGES)
def test_the_paths_of_the_command_are_the_declared_ones(name: str) -> None:
    stage = STAGES[name]
    words = shlex.split(stage["cmd"])
    options = words[words.index("-m") + 2 :]
    given = {path for option, path in zip(options[::2], options[1::2], strict=True) if option not in NOT_DATA}
    inputs = {path for path in paths(stage["deps"]) if not is_code(path)}
    outputs = paths(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []))
    assert given == inputs | outputs


@pytest.mark.parametrize("name", STAGES)
def test_the_stage_declares_the_sections_it_loads_and_params_yaml_fits_them(name: str) -> None:
    stage = STAGES[name]
    loaded = set()
    for path in imports(ROOT / (module_of(stage).replace(".", "/") + ".py")):
        tree = ast.parse(path.read_text())
        loaded |= {
            argument.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"
            for argument in node.args
            if isinstance(argument, ast.Constant)
        }
    assert set(stage.get("params", [])) == loaded


@pytest.mark.parametrize("name", [name for name in PARAMS if name != "data"])
def test_every_section_of_params_yaml_is_declared_by_the_module_of_its_name(name: str) -> None:
    package = "curation" if (ROOT / "curation" / f"{name}.py").exists() else "training"
    importlib.import_module(f"{package}.{name}").Params.load(name, ROOT / "params.yaml")


def test_the_section_data_is_as_declared() -> None:
    params.Data.load("data", ROOT / "params.yaml")


def test_stages_do_not_import_stages() -> None:
    """But for the models: a module that trains one holds it too, and who loads its weights must build it."""
    modules = {ROOT / (module_of(stage).replace(".", "/") + ".py") for stage in STAGES.values()}
    models = {ROOT / "training" / f"{model}.py" for model in [*DVC["stages"]["train"]["matrix"]["model"], "svm"]}
    for path in modules:
        assert (imports(path) & modules) - {path} <= (models if path not in models else set())


def test_curation_imports_no_training() -> None:
    for path in (ROOT / "curation").glob("*.py"):
        assert {module.parent.name for module in imports(path)} <= {"curation"}


def test_params_yaml_lists_the_sections_in_the_order_of_the_flow() -> None:
    order = [name.split("@")[-1] for name in STAGES]
    sections = [name for name in PARAMS if name in order]
    assert sections == [name for name in order if name in PARAMS]
