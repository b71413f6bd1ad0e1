"""m3it/models/pretrained.py: code that a folder brings along is never run; what is broken in it is a sentence."""

import ast
import io
import json
import pickle
import shutil

import huggingface_hub
import pytest
from conftest import ROOT

from m3it.rows.instance import M3ITError

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import small, text_sizes, tokenizer_with  # noqa: E402

from m3it.models.loading import load_model  # noqa: E402
from m3it.models.pretrained import find_model  # noqa: E402
from m3it.models.ying import make_ying  # noqa: E402

CLASSES = {"AutoConfig": "evil.E", "AutoModel": "evil.E", "AutoModelForCausalLM": "evil.E"}
CLASSES |= {"AutoModelForImageTextToText": "evil.E", "AutoProcessor": "evil.E"}


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """A folder with a small LLaVA."""
    folder = tmp_path_factory.mktemp("llava")
    model, processor = small("llava")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A folder with a small language model."""
    import transformers as t

    folder, tokenizer = tmp_path_factory.mktemp("llama"), tokenizer_with()
    t.LlamaForCausalLM(t.LlamaConfig(**text_sizes(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def evil(llava, tmp_path, monkeypatch):
    """A copy of the LLaVA with a Python file; stdin says "y" as often as it is asked. Fails if the file was run."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 99))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = shutil.copytree(llava, tmp_path / "evil")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\nclass E: pass\n", "utf-8")
    yield folder
    assert not (tmp_path / "was run").exists()


def change(path, **changes):
    """Change a JSON file of an object."""
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def part_with_code(folder, part, **changes):
    """Make a part of a config one that transformers has no class for, but for the code in the folder."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    change(
        folder / "config.json", **{part: {**config[part], "_name_or_path": str(folder), "auto_map": CLASSES, **changes}}
    )


REFUSED = "evil: needs Python code that comes with it, and no remote code runs here"


def test_a_model_of_an_unknown_class_is_refused(evil):
    change(evil / "config.json", model_type="evilvlm", auto_map=CLASSES)
    with pytest.raises(M3ITError, match=REFUSED):
        load_model(evil)


def test_a_processor_of_an_unknown_class_is_refused(evil):
    change(evil / "processor_config.json", processor_class="EvilProcessor", auto_map={"AutoProcessor": "evil.E"})
    with pytest.raises(M3ITError, match=REFUSED):
        load_model(evil)


@pytest.mark.parametrize(
    ("part", "kind"), [("vision_config", "blip_vision_model"), ("text_config", "aimv2_text_model")]
)
def test_a_part_of_an_unknown_class_is_refused(evil, part, kind):
    part_with_code(evil, part, model_type=kind)
    with pytest.raises(M3ITError, match=REFUSED):
        load_model(evil)


def test_classes_that_transformers_has_are_loaded_whatever_code_lies_beside(evil):
    change(evil / "config.json", auto_map=CLASSES)
    change(evil / "processor_config.json", auto_map={"AutoProcessor": "evil.E"})
    change(evil / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.E", "evil.E"]})
    assert load_model(evil)[0].num_parameters()


def test_parts_of_ying_with_code_are_refused(evil, llava, llama):
    change(evil / "config.json", model_type="evilvlm", auto_map=CLASSES)
    for parts in ({"vision": evil, "language": llama}, {"vision": llava, "language": evil}):
        with pytest.raises(M3ITError, match="evil: "):
            make_ying(**{name: str(folder) for name, folder in parts.items()})


def test_lora_on_a_model_with_code_is_refused(evil, tmp_path):
    change(evil / "config.json", model_type="evilvlm", auto_map=CLASSES)
    (tmp_path / "lora").mkdir()
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(evil), "r": 2, "target_modules": ["q_proj"]}
    (tmp_path / "lora/adapter_config.json").write_text(json.dumps(adapter), "utf-8")
    with pytest.raises(M3ITError, match=REFUSED):
        load_model(tmp_path / "lora")


def test_every_class_of_transformers_is_opened_without_code():
    """Whoever opens one by itself says so; Peft's have no such option."""
    for path in sorted((ROOT / "m3it").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if call.func.attr not in ("from_pretrained", "from_config") or "Peft" in ast.unparse(call.func.value):
                continue
            said = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert said.get("trust_remote_code") == "False", f"{path}:{call.lineno}"


# ---- files that are broken


class Touch:
    """Pickled: a file is written by whoever reads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(folder / "was run")))


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (lambda folder: cut(folder / "model.safetensors"), "cannot be loaded"),
        (lambda folder: cut(folder / "config.json"), "cannot be loaded"),
        (lambda folder: cut(folder / "tokenizer.json"), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("[]"), "cannot be loaded"),
        (lambda folder: (folder / "processor_config.json").write_text("[]"), "cannot be loaded"),
        (lambda folder: change(folder / "config.json", vision_config="x"), "cannot be loaded"),
        (pickled, "cannot be loaded"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "cannot be loaded"),
        (lambda folder: (folder / "adapter_config.json").write_text("[1]"), "cannot be loaded"),
        (
            lambda folder: (folder / "adapter_config.json").write_text(
                json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(folder)})
            ),
            "names the base model",
        ),
        (lambda folder: [path.unlink() for path in folder.glob("*process*")], "cannot be loaded"),
    ],
    ids=[
        *("cut weights", "cut config", "cut tokenizer", "empty weights", "a list as config", "a list as processor"),
        *(
            "a text as encoder",
            "pickle",
            "adapter of nothing",
            "a list as adapter",
            "adapter of itself",
            "no processor",
        ),
    ],
)
def test_a_broken_folder_is_a_sentence_that_names_it(llava, tmp_path, breaks, words):
    folder = shutil.copytree(llava, tmp_path / "broken")
    breaks(folder)
    with pytest.raises(M3ITError, match=f"broken: .*{words}") as raised:
        load_model(folder)
    assert "\n" not in str(raised.value) and not (folder / "was run").exists()


def test_a_path_that_is_not_there_is_said_to_be_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(M3ITError, match=r"^no/such/folder: there is no such folder, and no model of this name on"):
        find_model("no/such/folder")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(M3ITError, match=r"^runs/tiny: there is no such folder, and the Hub cannot be asked \(HF"):
        find_model("runs/tiny")
    (tmp_path / "runs/tiny").mkdir(parents=True)
    assert find_model("runs/tiny") == ""
