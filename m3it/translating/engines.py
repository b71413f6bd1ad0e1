"""The models that translate: NLLB, M2M100 and MADLAD by transformers or CTranslate2, and any OpenAI-compatible server.

In: parts of texts, already cut and masked (masks.py), and the source and the target language.  Out: one text each,
None where a server refuses. Models and licenses: docs/translate.md.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from M3IT import LANGUAGES, Language
from m3it.rows.instance import M3ITError
from m3it.work.chat import Answer, Chat, Reply, Request, message, server_name
from m3it.work.extras import install
from m3it.work.reasoning import REASONING_TAGS, without_reasoning

BACKENDS = ("transformers", "ctranslate2", "openai")
# The first decoding, and those for a text whose translation failed a check: no sampling, so that runs agree.
DECODINGS: tuple[dict[str, Any], ...] = (
    {"num_beams": 4},
    {"num_beams": 4, "no_repeat_ngram_size": 3, "repetition_penalty": 1.3},
    {"num_beams": 1, "no_repeat_ngram_size": 3},
)
TRAINED_TOKENS = 512  # of a sentence, in the training of NLLB; the others fare no better beyond
BATCH_TOKENS, BATCH_TEXTS = 4096, 128  # of a batch, padding included
OTHER_CODES = {"he": "iw", "jv": "jw", "tl": "fil", "fuv": "ff"}  # what M2M100 and MADLAD may use instead of ours
MODEL = "a model that translates (NLLB, M2M100, MADLAD)"
# What a server is told before each text.
SYSTEM_MESSAGE = """You translate from {source} to {target} ({own_name}). The texts belong to questions about pictures.
Keep every number in square brackets, such as [1], where it belongs; it stands for a name or a number.
Write the translation and nothing else."""
TEMPERATURES = (0, 0.3, 0.8)  # of a server, for each of the decodings
QUOTES = ('""', "''", "“”", "「」", "«»")


class EngineSettings(NamedTuple):
    """Which engine: all that a worker needs to open its own."""

    backend: str
    model: str
    base_url: str | None = None
    num_beams: int = 4
    parallel: int = 8
    prices: tuple[float, float] | None = None
    max_cost: float | None = None
    cache_dir: str | None = None
    reasoning_tags: tuple[str, ...] = ()  # the marks of a server's thoughts; the usual ones where none are named
    extra_body: str = ""  # JSON: further fields of each request to a server


class Engine(Protocol):
    """What translates parts of texts."""

    model_name: str
    max_tokens: int  # of a text, by `num_tokens`

    @property
    def identity(self) -> str:
        """The model's name, and what tells it from others of that name: translations are kept under it."""

    def require(self, *languages: Language) -> None:
        """M3ITError unless the model knows the languages."""

    def num_tokens(self, text: str) -> int:
        """How many tokens the model sees."""

    def translate(
        self, texts: Sequence[str], source: Language, target: Language, decoding: int = 0
    ) -> list[str | None]:
        """The translations, in order; `decoding` numbers the ways to search for them."""


@lru_cache(1)
def open_engine(settings: EngineSettings) -> Engine:
    """The engine of the settings; one is kept, so that a worker loads its model once."""
    if settings.backend == "openai":
        return ServerEngine(settings)
    if settings.backend == "ctranslate2":
        return CTranslate2Engine(settings)
    if settings.backend == "transformers":
        return TransformersEngine(settings)
    raise ValueError(f"backend={settings.backend!r}: expected {', '.join(BACKENDS)}")


def by_length(sizes: Sequence[int], batch_tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Yield batches of places, longest texts first, so that little is padded."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if batch and (len(batch) == BATCH_TEXTS or (len(batch) + 1) * sizes[batch[0]] > batch_tokens):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class Seq2SeqEngine:
    """What NLLB, M2M100 and MADLAD have in common: a tokenizer, and a token that names the language."""

    def __init__(self, settings: EngineSettings):
        self.settings, self.model_name = settings, settings.model
        try:
            import torch  # noqa: F401
            from transformers import AutoTokenizer
        except ImportError as error:
            raise M3ITError(f"A translation model needs PyTorch and transformers: {install('translate')}") from error
        from m3it.models.pretrained import pretrained

        self.tokenizer = pretrained(AutoTokenizer, settings.model, MODEL)
        self.max_tokens = min(self.tokenizer.model_max_length, TRAINED_TOKENS)
        self.commit: str | None = None

    @cached_property
    def identity(self) -> str:
        """The model's name, and what tells its weights from others of that name."""
        if not Path(self.settings.model).is_dir():
            return f"{self.settings.model}@{self.commit} beams {self.settings.num_beams}"
        files = sorted(Path(self.settings.model).glob("*.*"))
        stamps = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files if path.is_file()]
        return f"{self.settings.model} {'; '.join(stamps)} beams {self.settings.num_beams}"

    def token(self, language: Language) -> str | None:
        """The model's token for a language, None if it has none: zho_Hans (NLLB), __zh__ (M2M100), <2zh> (MADLAD)."""
        codes = (language.code, OTHER_CODES.get(language.code, language.code))
        for token in (language.nllb, *(form.format(code) for code in codes for form in ("__{}__", "<2{}>"))):
            if self.tokenizer.convert_tokens_to_ids(token) not in (None, self.tokenizer.unk_token_id):
                return token
        return None

    def require(self, *languages: Language) -> None:
        """M3ITError unless the model knows the languages."""
        if unknown := [language for language in languages if self.token(language) is None]:
            missing = [language.code for language in LANGUAGES.values() if self.token(language) is None]
            names = ", ".join(f"{language.code} ({language.name})" for language in unknown)
            raise M3ITError(
                f"{self.model_name}: has no token for {names}. Of the 80 languages, {len(missing)} are missing: "
                f"{', '.join(missing) or 'none'}. Use another model for these, e.g. an NLLB-200 one."
            )
        # transformers opens a tokenizer whose class it does not know as a plain one, which names no language.
        if not str(self.token(languages[-1])).startswith("<2") and not hasattr(type(self.tokenizer), "src_lang"):
            raise M3ITError(
                f"{self.model_name}: its tokenizer, {type(self.tokenizer).__name__}, cannot say which language a text "
                "is in. Use a model whose tokenizer is part of transformers, such as NLLB's or M2M100's."
            )

    def num_tokens(self, text: str) -> int:
        """How many tokens the model sees, language and end included."""
        return len(self.tokenizer(text)["input_ids"]) + 1

    def encode(self, texts: Sequence[str], source: Language, target: Language) -> list[list[int]]:
        """Token ids of each text, as the model was trained to read them."""
        token = str(self.token(target))
        if token.startswith("<2"):
            texts = [f"{token} {text}" for text in texts]
        elif "__" in token:
            self.tokenizer.src_lang = str(self.token(source)).strip("_")
        else:
            self.tokenizer.src_lang = str(self.token(source))
        return [self.tokenizer(text)["input_ids"] for text in texts]

    def translate(
        self, texts: Sequence[str], source: Language, target: Language, decoding: int = 0
    ) -> list[str | None]:
        """The translations, in order; `decoding` numbers the ways to search for them."""
        with_source = not str(self.token(target)).startswith("<2")  # MADLAD is told the target alone
        self.require(*((source, target) if with_source else (target,)))
        ids = self.encode(texts, source, target)
        options = {**DECODINGS[decoding]}
        options["num_beams"] = min(options["num_beams"], self.settings.num_beams)
        outputs: list[str | None] = [None] * len(texts)
        for batch in by_length([len(tokens) for tokens in ids]):
            for place, tokens in zip(batch, self.generate([ids[i] for i in batch], target, options), strict=True):
                outputs[place] = str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
        return outputs

    def generate(self, batch: list[list[int]], target: Language, options: dict[str, Any]) -> list[list[int]]:
        """The token ids that the model writes for each text of a batch."""
        raise NotImplementedError

    def max_new_tokens(self, batch: list[list[int]]) -> int:
        """Room for a translation much longer than its source, and no more: a model that repeats itself must end."""
        return min(self.max_tokens, 2 * max(map(len, batch)) + 20)


class TransformersEngine(Seq2SeqEngine):
    """A model of transformers, on the GPU if there is one (in half precision), else on the CPU."""

    def __init__(self, settings: EngineSettings):
        super().__init__(settings)
        import torch
        from transformers import AutoModelForSeq2SeqLM

        from m3it.models.pretrained import pretrained

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.float16 if self.device == "cuda" else torch.float32
        model = pretrained(AutoModelForSeq2SeqLM, settings.model, MODEL, dtype=dtype)
        self.model = model.to(self.device).eval()
        config = self.model.config
        self.commit = getattr(config, "_commit_hash", None)
        self.max_tokens = min(self.max_tokens, getattr(config, "max_position_embeddings", None) or TRAINED_TOKENS)

    def generate(self, batch: list[list[int]], target: Language, options: dict[str, Any]) -> list[list[int]]:
        import torch

        longest = max(map(len, batch))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([tokens + [pad] * (longest - len(tokens)) for tokens in batch], device=self.device)
        lengths = torch.tensor([len(tokens) for tokens in batch], device=self.device)
        token = str(self.token(target))
        forced = {} if token.startswith("<2") else {"forced_bos_token_id": self.tokenizer.convert_tokens_to_ids(token)}
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids,
                attention_mask=(torch.arange(longest, device=self.device) < lengths[:, None]).long(),
                max_new_tokens=self.max_new_tokens(batch),
                do_sample=False,
                **forced,
                **options,
            )
        return written.tolist()


class CTranslate2Engine(Seq2SeqEngine):
    """A folder that ct2-transformers-converter wrote, the tokenizer's files with it (--copy_files), faster on CPUs."""

    def __init__(self, settings: EngineSettings):
        super().__init__(settings)
        try:
            import ctranslate2
        except ImportError as error:
            raise M3ITError(f"--backend ctranslate2 needs it: {install('translate')}") from error
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        try:
            self.model = ctranslate2.Translator(settings.model, device=device)
        except RuntimeError as error:
            raise M3ITError(
                f"{settings.model}: expected a folder written by ct2-transformers-converter: {error}"
            ) from error

    def generate(self, batch: list[list[int]], target: Language, options: dict[str, Any]) -> list[list[int]]:
        token = str(self.token(target))
        prefix = None if token.startswith("<2") else [[token]] * len(batch)
        given = {name.replace("num_beams", "beam_size"): value for name, value in options.items()}
        source = [self.tokenizer.convert_ids_to_tokens(tokens) for tokens in batch]
        found = self.model.translate_batch(
            source, target_prefix=prefix, max_decoding_length=self.max_new_tokens(batch), max_batch_size=0, **given
        )
        convert: Any = self.tokenizer.convert_tokens_to_ids
        return [convert(result.hypotheses[0]) for result in found]


class ServerEngine:
    """A model behind an OpenAI-compatible server; any language is asked for by its name."""

    max_tokens = 2000  # of a text; longer ones are cut at sentences

    def __init__(self, settings: EngineSettings):
        self.settings, self.model_name = settings, settings.model
        self.chat = Chat(
            settings.model,
            settings.base_url,
            cache_dir=settings.cache_dir and f"{settings.cache_dir}/replies",
            parallel=settings.parallel,
            prices=settings.prices,
            max_cost=settings.max_cost,
            extra_body=json.loads(settings.extra_body or "{}"),
        )
        # Another server may have another model of that name; other marks make other texts of its replies.
        more = f", thoughts in {', '.join(settings.reasoning_tags)}" if settings.reasoning_tags else ""
        more += f", asked with {settings.extra_body}" if settings.extra_body else ""
        self.identity = f"{settings.model} behind {server_name(settings.base_url)}{more}"

    def require(self, *languages: Language) -> None:
        """Nothing: whether it knows a language shows in the checks."""

    def num_tokens(self, text: str) -> int:
        """About how many tokens a text has."""
        return len(text.encode()) // 3 + 1

    def translate(
        self, texts: Sequence[str], source: Language, target: Language, decoding: int = 0
    ) -> list[str | None]:
        """The translations, in order; None where the server refuses, the reply was cut off, or a thought has no end."""
        told = SYSTEM_MESSAGE.format(source=source.name, target=target.name, own_name=target.own_name)
        system = message(told, role="system")
        options = {"temperature": TEMPERATURES[decoding], "max_tokens": 4000}
        requests = (Request([system, message(text)], decoding, options) for text in texts)
        replies = list(self.chat.ask_all(requests, on_error="drop"))
        return [self._said(reply, text) for text, reply in zip(texts, replies, strict=True)]

    def _said(self, reply: Answer, text: str) -> str | None:
        """The translation that a reply holds; None if there is none."""
        if not isinstance(reply, Reply) or reply.fault or reply.finish_reason == "length":
            return None
        return without_added_quotes(reply.text, text, self.settings.reasoning_tags or REASONING_TAGS)


def without_added_quotes(reply: str, text: str, tags: Sequence[str] = REASONING_TAGS) -> str | None:
    """The reply without the thought before it and the quotation marks that the text does not have; None for a thought
    without an end."""
    answer = without_reasoning(reply, tags)
    if answer is None:
        return None
    reply = answer.strip()
    quoted = len(reply) > 1 and reply[0] + reply[-1] in QUOTES and text[:1] + text[-1:] not in QUOTES
    return reply[1:-1].strip() if quoted else reply
