"""The row for the model: messages with a place for each image, and tensors with loss on the answers only.

In: rows of a mixture, and the processor of any image-text-to-text model of transformers that has a chat template; those
of InstructBLIP and Ying, which have none, take any number of images here. Out: batches with the keys that the processor
gives, and `labels`: -100 but on the answers and on the token that ends each.
What may stand between two images of one conversation is not learned from; answers before all or after all of them are.
"""

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch.nn.functional import pad

from m3it.models.packing import how_held, pack
from m3it.models.pictures import Pictures
from m3it.models.plain_text import TOKENS, PlainText
from m3it.rows.instance import M3ITError, ShardError
from m3it.rows.messages import to_messages

if TYPE_CHECKING:
    from m3it.models.seen import Seen

PLACES = ("image_token", "boi_token", "start_image_token")  # where processors keep what marks an image in a text
ODD_SIDE, ODD_RATIO = 32, 20  # pixels, and longer side to shorter, beyond which processors begin to refuse pictures
PLAIN = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"  # for a tokenizer without a template


class Text(NamedTuple):
    """The text of one row for a processor. `answers`: (start, stop) characters that are learned."""

    text: str
    answers: list[tuple[int, int]]


class Prepared(NamedTuple):
    """A row whose images are decoded and counted; `whole` is its text, answers included; `digests`: of the files of
    its images, where rows may share them."""

    id: str
    messages: list[dict[str, Any]]
    images: list[Image.Image]
    whole: Text = Text("", [])
    digests: tuple[bytes, ...] = ()


class Collator:
    """Makes batches of rows. As `Mixture(transform=collator.prepare)` it decodes where rows are read, so that a broken
    image counts as a row that cannot be read.

    max_length        tokens of a row; the longest text gives way first, from its end; image tokens are never cut, and
                      an answer that was is not taught to end there
    max_side_pixels   larger images are reduced while they are decoded; if not given, to no less than twice the size
                      that the processor scales them to, where it does no more than that
    keep_ids          also give "row_ids", a list of strings, which the model must not see
    pack              the same rows in fewer, fuller sequences of `max_length` tokens (packing.py): less padding
    share_pictures    packed, and rows of a batch about the same pictures have them once
    """

    def __init__(
        self,
        processor: Any,
        max_length: int | None = None,
        max_side_pixels: int | None = None,
        keep_ids: bool = False,
        pack: bool = False,
        share_pictures: bool = False,
    ):
        self.processor, self.max_length = processor, max_length
        self.keep_ids, self.tokenizer = keep_ids, processor.tokenizer
        self.pictures = Pictures(processor, max_side_pixels)
        self.pack, self.share_pictures = pack or share_pictures, share_pictures
        self.has_qformer = hasattr(processor, "qformer_tokenizer")
        if self.pack:
            how_held(processor)
        if share_pictures and self.has_qformer:
            raise M3ITError("--share-pictures: its Q-Former reads each question with the picture. Leave it out.")
        self.places = [str(token) for name in PLACES if (token := getattr(processor, name, None))]
        if not self.tokenizer.is_fast:
            raise M3ITError(
                f"{type(self.tokenizer).__name__} says no offsets of its tokens: expected a fast tokenizer."
            )
        self.template = self.tokenizer.chat_template or PLAIN if self.has_qformer else processor.chat_template
        self.plain = PlainText(self.tokenizer, self.places, str(self.template))
        self._coded_last: tuple[list[Text], list[Any]] = ([], [])
        self._own_words: dict[tuple[str, ...], str] = {}  # roles of a conversation -> what the template says itself
        if not self.template:
            raise M3ITError(
                f"{type(processor).__name__} has no chat template. Set processor.chat_template, save the processor, "
                "and pass that folder."
            )

    def prepare(self, row: dict[str, Any]) -> Prepared:
        """The row with its images decoded; M3ITError names the row where one is broken, or lacks its place, or where
        the processor refuses it."""
        messages = [self._plain(message, row["id"]) for message in to_messages(row)]
        digests = tuple(self.pictures.digest(image) if self.share_pictures else b"" for image in row["images"])
        pairs = zip(row["images"], digests, strict=True)
        images = [self.pictures.decode(image, digest, row["id"]) for image, digest in pairs]
        prepared = Prepared(row["id"], messages, images, digests=digests)
        prepared = prepared._replace(whole=self.text(prepared))
        if self._is_in_doubt(prepared):
            batch, sizes = self._encode([prepared], lambda row: row.whole, "right")[0], sizes_of(prepared)
            self.pictures.most[sizes] = min(self.pictures.most_tokens(sizes), int(batch["attention_mask"].sum()))
        return prepared

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        """The batch to learn from: input_ids (batch, length) int64, padded on the right; labels likewise, -100 but on
        answers. Packed, (sequences, length)."""
        batch, texts, prepared = self.learned(rows)
        if self.pack:
            num_images = [len(row.images) for row in prepared]
            batch = pack(batch, self._owners(prepared, texts), num_images, self.processor, self.max_length)
        if self.keep_ids:
            batch["row_ids"] = [row.id for row in prepared]
        return batch

    def learned(self, rows: Sequence[Any]) -> tuple[dict[str, Any], list[Text], list[Prepared]]:
        """(the batch to learn from, a row each; the texts, and the rows as they were cut to fit it)."""
        batch, texts, prepared = self._encode(rows, lambda row: row.whole, "right")
        batch["labels"] = self._labels(batch, texts, prepared)
        return self.plain.without_breakers(batch, "right"), texts, prepared

    def padded(self) -> "Collator":
        """The same, without packing."""
        other = copy.copy(self)
        other.pack = other.share_pictures = False
        return other

    def explain(self, rows: Sequence[Any]) -> list["Seen"]:
        """What a model sees of rows that stand in one batch, for people; of a collator that packs, of its sequences."""
        from m3it.models.seen import rows_of, sequences_of

        return sequences_of(self, rows) if self.pack else rows_of(self, rows)

    def prompts(self, rows: Sequence[Any]) -> dict[str, Any]:
        """The batch to generate from: what comes before the last answer, padded on the left."""
        return self.plain.without_breakers(self._encode(rows, self.prompt, "left")[0], "left")

    def _is_in_doubt(self, row: Prepared) -> bool:
        """Whether the processor may refuse a row, so that it is worth its time to process the row alone: for a picture
        of an odd shape, or if the row may have more tokens than `max_length`."""
        sizes = sizes_of(row)
        if any(min(size) < ODD_SIDE or max(size) > ODD_RATIO * min(size) for size in sizes):
            return True
        if not self.max_length or not sizes:
            return False
        room = self.max_length - self.pictures.most_tokens(sizes)
        if len(row.whole.text.encode()) <= room:  # a token is a byte at least
            return False
        return room < 0 or len(self.tokenizer(row.whole.text)["input_ids"]) > room

    # ---- texts

    def _plain(self, message: dict[str, Any], row_id: str) -> dict[str, Any]:
        """The message; what its texts have of the template's tokens is text."""
        content = [
            {**part, "text": self.plain.broken(part["text"], row_id)} if part["type"] == "text" else part
            for part in message["content"]
        ]
        return {**message, "content": content}

    def prompt(self, row: Prepared) -> Text:
        """The row's text up to its last answer."""
        return Text(self._checked(row, self._render(row, -1, True)), [])

    def text(self, row: Prepared) -> Text:
        """The row's whole text, and where its answers stand, each with what the template ends it by: else with the
        tokenizer's end of sequence. An answer that was cut has not ended."""
        whole, answers = self._render(row), []
        for i, message in enumerate(row.messages):
            if message["role"] != "assistant":
                continue
            answer = "".join(part.get("text", "") for part in message["content"]).strip()
            start = self._begin(row, i, answer, whole)
            if start < 0:
                raise ShardError(f"{row.id}: the chat template changes the answer {answer[:60]!r}", "answer changed")
            stop = start + len(answer)
            is_last = i == len(row.messages) - 1
            turn = (whole if is_last else self._render(row, i + 1)).rstrip()
            if is_last and not turn[stop:].strip():
                whole = turn = whole[:stop] + self.tokenizer.eos_token
            was_cut = any("cut" in part for part in message["content"])
            answers.append((start, len(turn) if whole.startswith(turn) and not was_cut else stop))
        return Text(self._checked(row, whole), answers)

    def _begin(self, row: Prepared, i: int, answer: str, whole: str) -> int:
        """Where the answer that is message i begins in the row's whole text, -1 if it is not there."""
        if answer and whole.count(answer) == 1:
            said = (part.get("text", "") for message in row.messages for part in message["content"])
            if sum(text.count(answer) for text in said) == 1 and answer not in self._said_by_template(row):
                return whole.find(answer)  # nobody else says it: no need to render what is before
        before = os.path.commonprefix([self._render(row, i, True), whole])
        return whole.find(answer, len(before))

    def _said_by_template(self, row: Prepared) -> str:
        """What the chat template says itself in a conversation of these roles: an answer that it drops may stand there,
        and would be learned there."""
        roles = tuple(message["role"] for message in row.messages)
        if roles not in self._own_words:
            said = [[{**part, "text": "?"} for part in m["content"] if part["type"] == "text"] for m in row.messages]
            messages = [{**m, "content": parts} for m, parts in zip(row.messages, said, strict=True)]
            self._own_words[roles] = self._render(row._replace(messages=messages))
        return self._own_words[roles]

    def _render(self, row: Prepared, stop: int | None = None, generation: bool = False) -> str:
        """The text that the chat template makes of a row's messages up to `stop`; that of a language model takes texts
        only."""
        messages = row.messages[:stop]
        if self.has_qformer:
            content = ["".join(part.get("text", self.places[0]) for part in m["content"]) for m in messages]
            messages = [{**m, "content": text} for m, text in zip(messages, content, strict=True)]
        options = {"add_generation_prompt": generation, "tokenize": False, "chat_template": self.template}
        try:
            return self.tokenizer.apply_chat_template(messages, **options)
        except Exception as error:  # any: a template is a program of its author's
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            found = f"{row.id}: the chat template of {type(self.processor).__name__} fails ({reason})"
            raise ShardError(f"{found}. Fix processor.chat_template, or the row.", "chat template fails") from error

    def _checked(self, row: Prepared, text: str) -> str:
        """The text; ShardError where it has another number of places for images than the row has images."""
        marked = [text.count(place) for place in self.places]
        if marked and len(row.images) not in marked:
            raise ShardError(
                f"{row.id}: the text has {marked[0]} places for images ({self.places[0]}), the row has "
                f"{len(row.images)}",
                "images lost",
            )
        return text

    # ---- tensors

    def _encode(
        self, rows: Iterable[Any], write: Callable[[Prepared], Text], side: str
    ) -> tuple[dict[str, Any], list[Text], list[Prepared]]:
        """The processor's batch, texts cut until each row fits, and what went into it."""
        prepared = [row if isinstance(row, Prepared) else self.prepare(row) for row in rows]
        while True:
            texts = [write(row) for row in prepared]
            batch = self._process_shared(prepared, texts, side)
            lengths = batch["attention_mask"].sum(1).tolist()
            excess = [max(0, length - self.max_length) if self.max_length else 0 for length in lengths]
            if not any(excess):
                return batch, texts, prepared
            prepared = [self._cut(row, much) if much else row for row, much in zip(prepared, excess, strict=True)]

    def _owners(self, rows: list[Prepared], texts: list[Text]) -> list[int]:
        """Of each row the first with the same pictures, and the same text up to the last of them; itself if none."""
        if not self.share_pictures:
            return list(range(len(rows)))
        first: dict[Any, int] = {}
        owners = []
        for i, (row, text) in enumerate(zip(rows, texts, strict=True)):
            end = self._head(text)
            shares = row.digests and all(start >= end for start, _ in text.answers)
            owners.append(first.setdefault((row.digests, text.text[:end]) if shares else i, i))
        return owners

    def _head(self, text: Text) -> int:
        """The character after the last place for an image."""
        return max((text.text.rfind(place) + len(place) for place in self.places if place in text.text), default=0)

    def _process_shared(self, rows: list[Prepared], texts: list[Text], side: str) -> dict[str, Any]:
        """The batch of all rows. Of those to learn from that share pictures, the processor sees the first alone: the
        others have its tokens up to the last picture, and their own after it."""
        owners = self._owners(rows, texts) if side == "right" else range(len(rows))
        firsts = sorted(set(owners))
        batch = self._process([rows[i] for i in firsts], [texts[i] for i in firsts], side)
        if len(firsts) == len(rows):
            return batch
        tails = [self._tail(text, coded) for text, coded in zip(texts, self._coded(texts), strict=True)]
        own, at = torch.tensor([len(tail) for tail in tails]), [firsts.index(owner) for owner in owners]
        heads = batch["attention_mask"].sum(1)[at] - own[owners]
        width = int((heads + own).max())
        place, heads = torch.arange(width), heads[:, None]
        is_tail = (place >= heads) & (place < heads + own[:, None])
        whole = {}
        for key in (key for key in TOKENS if key in batch):
            copied = pad(batch[key][:, :width], (0, max(0, width - batch[key].shape[1])))[at]
            whole[key] = copied.masked_fill(place >= heads, self.tokenizer.pad_token_id if key == "input_ids" else 0)
        whole["input_ids"][is_tail] = torch.tensor([token for tail in tails for token in tail], dtype=torch.int64)
        whole["attention_mask"][is_tail] = 1
        return {**batch, **whole}

    def _tail(self, text: Text, coded: tuple[list[tuple[int, int]], list[int]]) -> list[int]:
        """The tokens after the last place for an image."""
        (offsets, tokens), end = coded, self._head(text)
        places = [i for i, (start, stop) in enumerate(offsets) if start < min(end, stop)]
        return tokens[places[-1] + 1 :] if places else tokens

    def _coded(self, texts: list[Text]) -> list[tuple[list[tuple[int, int]], list[int]]]:
        """(offsets, tokens) of texts, without room for images."""
        if self._coded_last[0] is not texts:
            coded = self.tokenizer([t.text for t in texts], return_offsets_mapping=True, **self._special(texts))
            self._coded_last = texts, list(zip(coded["offset_mapping"], coded["input_ids"], strict=True))
        return self._coded_last[1]

    def _process(self, rows: list[Prepared], texts: list[Text], side: str) -> dict[str, Any]:
        """The processor's batch; its complaint names the rows."""
        images = [row.images for row in rows] if any(row.images for row in rows) else None
        try:
            if self.has_qformer:
                return self._process_qformer(rows, texts, side)
            options = {**self._special(texts), "padding": True, "padding_side": side, "return_tensors": "pt"}
            return dict(self.processor(text=[text.text for text in texts], images=images, **options))
        except (ValueError, IndexError, TypeError, ArithmeticError, RuntimeError) as error:
            for row, text in zip(rows, texts, strict=True) if len(rows) > 1 else ():
                self._process([row], [text], side)  # raises at the one that is to blame
            ids = ", ".join(row.id for row in rows)
            refused = f"{ids}: {type(self.processor).__name__} cannot take the row{'s' * (len(rows) > 1)} ({error})"
            raise ShardError(refused, "refused by the processor") from error

    def _special(self, texts: list[Text]) -> dict[str, Any]:
        """Whether the tokenizer adds its special tokens: not where the template has begun with one."""
        bos = self.tokenizer.bos_token
        return {"add_special_tokens": not (bos and texts[0].text.startswith(bos))}

    def _process_qformer(self, rows: list[Prepared], texts: list[Text], side: str) -> dict[str, Any]:
        """A batch for InstructBLIP's classes: pixel_values (images, ...), each with its row's question for the Q-Former

        A batch without images gets a gray one that no place refers to: the model's forward takes no less than one.
        """
        place, num_tokens = self.places[0], self.processor.num_query_tokens
        expanded = [text.text.replace(place, place * num_tokens) for text in texts]
        options = {"padding": True, "return_tensors": "pt"}
        batch = dict(self.tokenizer(expanded, padding_side=side, **self._special(texts), **options))
        batch.pop("token_type_ids", None)
        pairs = [(image, _asked(row)) for row in rows for image in row.images]
        pairs = pairs or [(Image.new("RGB", (8, 8), "gray"), ".")]
        seen = self.processor.image_processor([image for image, _ in pairs], return_tensors="pt")
        questions = [self.plain.whole(question) or "." for _, question in pairs]
        asked = self.processor.qformer_tokenizer(questions, truncation=True, max_length=512, **options)
        read = {f"qformer_{name}": asked[name] for name in ("input_ids", "attention_mask")}
        return {**batch, "pixel_values": seen["pixel_values"], **read}

    def _cut(self, row: Prepared, excess: int) -> Prepared:
        """The row with so many tokens less in its longest text, at the end; M3ITError if no text is left to cut."""
        parts = [part for message in row.messages for part in message["content"] if part["type"] == "text"]
        longest = max(parts, key=lambda part: len(part["text"]), default={"text": ""})
        coded = self.tokenizer(longest["text"], add_special_tokens=False, return_offsets_mapping=True)
        offsets = coded["offset_mapping"]
        if not offsets:
            length = (self.max_length or 0) + excess
            raise ShardError(
                f"{row.id}: its {len(row.images)} images take {length} tokens without any text, more than the "
                f"{self.max_length} that the model can take. Leave the dataset out, or reduce images.",
                "too many image tokens",
            )
        kept = longest["text"][: offsets[-excess][0] if excess < len(offsets) else 0]
        content = {id(part): {**part, "text": kept, "cut": True} if part is longest else part for part in parts}
        messages = [{**m, "content": [content.get(id(part), part) for part in m["content"]]} for m in row.messages]
        shorter = row._replace(messages=messages)
        return shorter._replace(whole=self.text(shorter))

    def _labels(self, batch: dict[str, Any], texts: list[Text], rows: list[Prepared]) -> Any:
        """(batch, length) int64: the tokens of the answers, -100 elsewhere."""
        if (batch["attention_mask"].diff(dim=1) > 0).any():
            name = type(self.processor).__name__
            raise M3ITError(f"{name} pads rows on the left by itself, where padding_side='right' was asked for.")
        labels = torch.full_like(batch["input_ids"], -100)
        for i, (row, text, coded) in enumerate(zip(rows, texts, self._coded(texts), strict=True)):
            ids = batch["input_ids"][i][: int(batch["attention_mask"][i].sum())].tolist()
            for at, token in self._answer_tokens(text, coded, len(ids)):
                if not 0 <= at < len(ids) or ids[at] != token:
                    raise M3ITError(f"{row.id}: {type(self.processor).__name__} rewrites the text beside its images.")
                labels[i, at] = token
        labels[:, 0] = -100  # nothing comes before it of which it could be learned; packed, another row does
        return labels

    def _answer_tokens(
        self, text: Text, coded: tuple[list[tuple[int, int]], list[int]], length: int
    ) -> Iterable[tuple[int, int]]:
        """(position, token) of the answers in a row of `length` tokens.

        The text is tokenized once more, without room for images: what stands before the first has its place from the
        left, what stands after the last has it from the right.
        """
        offsets, tokens = coded
        found = [place for place in self.places if place in text.text]
        first = min((text.text.find(place) for place in found), default=len(text.text))
        last = max((text.text.rfind(place) for place in found), default=-1)
        for begin, end in text.answers:
            for at, ((start, stop), token) in enumerate(zip(offsets, tokens, strict=True)):
                if start < end and stop > begin and not first <= start <= last:
                    yield (at if stop <= first else at - len(tokens) + length), token


def sizes_of(row: Prepared) -> tuple[tuple[int, int], ...]:
    """(width, height) of each image of a row."""
    return tuple(image.size for image in row.images)


def _asked(row: Prepared) -> str:
    """The words of the first question, which InstructBLIP's Q-Former reads, too; never an answer."""
    asked = [message for message in row.messages if message["role"] == "user"]
    return " ".join(part["text"] for part in asked[0]["content"] if part["type"] == "text") if asked else ""
