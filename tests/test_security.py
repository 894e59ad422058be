"""What must never stand in the sources, and what hostile files must never bring about."""

import ast
import json
from pathlib import Path

import pytest
import yaml

import robustpeft
from robustpeft.errors import UserError
from robustpeft.study.yaml_text import read_yaml, yaml_value

SOURCES = Path(robustpeft.__file__).parent
ROOT = SOURCES.parents[1]
CODE = [*SOURCES.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]

# What reads code from data, runs it, or unpacks it anywhere; each with what may stand in its place.
FORBIDDEN = {
    "pickle.load": "safetensors",
    "pickle.loads": "safetensors",
    "pickle.Unpickler": "safetensors",
    "marshal.loads": "JSON",
    "shelve.open": "JSON",
    "yaml.load": "read_yaml",
    "yaml.full_load": "read_yaml",
    "yaml.unsafe_load": "read_yaml",
    "os.system": "nothing",
    "os.popen": "nothing",
    "shutil.unpack_archive": "nothing",
    "tarfile.open": "nothing",
    "zipfile.ZipFile": "nothing",
    "tempfile.mktemp": "tempfile.mkdtemp",
    "joblib.load": "safetensors",
    "torch.hub.load": "nothing",
    "eval": "ast.literal_eval",
    "exec": "nothing",
}


def dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield dotted(node.func), {keyword.arg: keyword.value for keyword in node.keywords}, node.lineno


def is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


# Read with care: an executor unpacks what this process packed; an archive of arrays is read member by member.
EXEMPT = {"study/grid/executor.py": {"pickle.loads"}, "auditing/kept_files.py": {"zipfile.ZipFile"}}


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_reads_code_from_data(path):
    known = EXEMPT.get(path.relative_to(SOURCES).as_posix(), set()) if path.is_relative_to(SOURCES) else set()
    for name, given, line in calls(path):
        assert name not in FORBIDDEN or name in known, f"line {line}: {name}; use {FORBIDDEN[name]}"
        if name == "torch.load":
            assert is_true(given.get("weights_only")), f"line {line}: torch.load without weights_only=True"
        if name in ("np.load", "numpy.load"):
            assert "allow_pickle" not in given, f"line {line}: np.load of pickles"
        assert "shell" not in given or not is_true(given["shell"]), f"line {line}: a shell"
        assert not is_true(given.get("trust_remote_code")), f"line {line}: trust_remote_code"


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "x.py").write_text("import torch\ntorch.load('a')\nyaml.load('a')\neval('1')\n")
    assert [name for name, _, _ in calls(tmp_path / "x.py")] == ["torch.load", "yaml.load", "eval"]


def test_pages_escape_what_they_are_given():
    marked = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        for name, _, _ in calls(path)
        if name in ("Markup", "markupsafe.Markup")
    }
    assert marked <= {"report/page.py", "report/study/page.py", "report/transfer_page.py"}, "in these it was read"
    assert [p.name for p in SOURCES.rglob("*.html") if "|safe" in p.read_text().replace(" ", "")] == []


def bomb(depth=9, width=10):
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth + 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(), "more than 100,000 values"),
        ("a: &a [*a]", "holds itself"),
        ("[" * 50_000, "too deeply"),
        ("x" * (2**20 + 1), "larger than"),
        ("!!python/object/apply:os.system ['touch executed']", "not valid YAML"),
        ("a: !!python/name:os.system", "not valid YAML"),
    ],
    ids=["bomb", "cycle", "deep", "long", "call", "name"],
)
def test_hostile_yaml_is_refused_with_a_message(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as refused:
        read_yaml(tmp_path / "r.yaml")
    assert len(str(refused.value)) < 2000
    assert not (tmp_path / "executed").exists()


def test_anchors_that_stand_for_little_are_welcome():
    assert yaml_value("a: &a {x: 1}\nb: *a\nc: *a") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1}}
    assert yaml_value(yaml.safe_dump(list(range(1000)))) == list(range(1000))


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported."""
    (tmp_path / "evil_module_of_theirs.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nclass X: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "executed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: edit(run / "adapter_config.json", method={"name": "evil_module_of_theirs:X"}),
        lambda run: edit(run / "adapter_config.json", method="evil_module_of_theirs:X"),
        lambda run: edit(run / "robustpeft.json", threat="evil_module_of_theirs:X"),
        lambda run: edit(run / "robustpeft.json", threat={"norm": "evil_module_of_theirs:X", "epsilon": 0.1}),
        lambda run: escaped(run / "robustpeft.json", threat={"norm": "evil_module_of_theirs:X", "epsilon": 0.1}),
        lambda run: escaped(run / "adapter_config.json", method={"name": "evil_module_of_theirs:X"}),
    ],
    ids=["config", "config, a name alone", "threat, a name alone", "threat", "threat, escaped", "config, escaped"],
)
def test_an_adapter_that_names_code_runs_none_of_it_without_trust(spoil, mine, saved_run):
    spoil(saved_run)
    with pytest.raises(UserError, match="nothing was imported"):
        robustpeft.load(saved_run)
    assert not mine.exists()


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def escaped(file, **changes):
    """The same, with every colon of a name written as JSON may write it too."""
    edit(file, **changes)
    file.write_text(file.read_text().replace("theirs:X", "theirs\\u003aX"))


@pytest.fixture
def saved_run(tmp_path):
    from robustpeft.backbones import Backbone
    from robustpeft.pet import FullLoRA
    from robustpeft.study.run_directory import write_sidecar

    model = Backbone().load()
    handle = FullLoRA(r=1).attach(model)
    handle.save(tmp_path / "run")
    scores = {"n": 1, "clean": 1, "robust": 1}
    model.tuning = {"data": "digits", "num_train": 1, "data_note": "", "validation": scores}
    write_sidecar(tmp_path / "run", model)
    return tmp_path / "run"


def test_a_run_that_was_not_touched_loads(saved_run):
    assert robustpeft.load(saved_run).name == "digits_vit"


@pytest.mark.parametrize("name", ["robustpeft.json", "adapter_config.json", "adapter_model.safetensors"])
def test_a_file_of_a_run_that_links_elsewhere_is_not_read(name, saved_run, tmp_path):
    (saved_run / name).rename(tmp_path / "elsewhere")
    (saved_run / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="leads out of"):
        robustpeft.load(saved_run)


@pytest.mark.parametrize("weights", ["../secret.pth", "a/../../secret.pth"])
def test_relative_weights_of_a_run_stay_in_it(weights, saved_run, tmp_path):
    (tmp_path / "secret.pth").write_text("mine")
    said = json.loads((saved_run / "robustpeft.json").read_text())
    edit(saved_run / "robustpeft.json", backbone=said["backbone"] | {"weights": weights})
    with pytest.raises(UserError, match="leads out of"):
        robustpeft.load(saved_run)
