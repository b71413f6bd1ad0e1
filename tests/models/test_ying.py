"""m3it/models/ying.py: a model put together from parts has their weights, learns between them, and is saved."""

import pytest

from m3it.rows.instance import M3ITError

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import ROWS, loss_of, step, ying_parts  # noqa: E402

from m3it.models.collator import Collator  # noqa: E402
from m3it.models.loading import freeze, load_model  # noqa: E402
from m3it.models.ying import make_ying  # noqa: E402


@pytest.fixture
def parts(tmp_path):
    return ying_parts(tmp_path)


@pytest.mark.parametrize("encoder", ["v", "q"], ids=["CLIP", "InstructBLIP"])
def test_ying_has_the_weights_of_its_parts_and_only_the_middle_learns(parts, tmp_path, encoder):
    import transformers as t

    parts["vision"] = str(tmp_path / encoder)
    model, processor = make_ying(**parts)
    llama = t.LlamaForCausalLM.from_pretrained(parts["language"]).state_dict()
    qformer = t.InstructBlipForConditionalGeneration.from_pretrained(parts["qformer"]).qformer.state_dict()
    rows = len(llama["model.embed_tokens.weight"])
    for name, value in llama.items():
        assert torch.equal(model.language_model.state_dict()[name][:rows], value), name
    assert all(torch.equal(model.qformer.state_dict()[name], value) for name, value in qformer.items())
    freeze(model, ("vision", "language"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = Collator(processor, 512)(ROWS)
    losses = [step(model, batch) for _ in range(3)]
    assert losses[2] < losses[0]
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"qformer", "query_tokens", "language_projection"}


@pytest.mark.slow  # a Q-Former of BERT's size
def test_ying_with_a_fresh_qformer_saves_loads_and_generates(parts, tmp_path):
    parts.pop("qformer")
    model, processor = make_ying(**parts, num_query_tokens=2)
    model.save_pretrained(tmp_path / "ying")
    processor.save_pretrained(tmp_path / "ying")
    loaded, its_processor = load_model(tmp_path / "ying")
    batch = Collator(processor, 512)(ROWS)
    assert loss_of(loaded, batch) == pytest.approx(loss_of(model, batch), abs=1e-6)
    prompts = Collator(its_processor, 512).prompts(ROWS)
    assert loaded.generate(**prompts, max_new_tokens=2, do_sample=False).shape[0] == len(ROWS)


def test_a_qformer_of_another_width_is_refused(parts, tmp_path):
    import transformers as t

    wide = t.SiglipVisionConfig(hidden_size=64, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    t.SiglipVisionModel(wide).save_pretrained(tmp_path / "wide")
    with pytest.raises(M3ITError, match="its Q-Former expects 32, .*wide gives 64 numbers a token"):
        make_ying(**{**parts, "vision": str(tmp_path / "wide")})
