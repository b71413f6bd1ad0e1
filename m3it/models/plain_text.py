"""Texts of the data in which no token of a template acts: <|im_end|>, </s> or <image> are words there.

A tokenizer finds its special tokens in any text. So before it reads, a token that occurs nowhere else, the breaker, is
put into each of them, after its first character: both parts are words then. When all is tokenized the breaker is taken
out again.
"""

import re
from typing import Any

from m3it.rows.instance import ShardError

TOKENS = ("input_ids", "labels", "attention_mask", "token_type_ids", "mm_token_type_ids")  # of a batch, by token
KEPT = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")  # no breakers


class PlainText:
    """Breaks the special tokens of a tokenizer, and the marks of images, in texts of the data."""

    def __init__(self, tokenizer: Any, places: list[str], template: str):
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        marks = sorted((mark for mark in {*special, *places} if len(mark) > 1), key=lambda mark: (-len(mark), mark))
        self.marks = re.compile("|".join(map(re.escape, marks)) or r"(?!)")
        standing = {getattr(tokenizer, name, None) for name in KEPT} | {*places}
        free = [mark for mark in marks if mark in special - standing and mark not in template]
        if tokenizer.pad_token in free and "pad_token" not in template:
            free = [tokenizer.pad_token]
        self.breaker = free[0] if free else ""
        self.breaker_id = tokenizer.convert_tokens_to_ids(self.breaker) if free else None
        self.pad_id = tokenizer.pad_token_id

    def broken(self, text: str, row_id: str) -> str:
        """The text with a breaker in each mark; ShardError where the tokenizer has no token for it."""
        found = self.marks.search(text)
        if found is None:
            return text
        if not self.breaker:
            told = f"{row_id}: its text holds {found[0]!r}, which the tokenizer would take for its own token"
            raise ShardError(f"{told}. Leave the row out", "special token")
        return self.marks.sub(lambda mark: f"{mark[0][0]}{self.breaker}{mark[0][1:]}", text)

    def whole(self, text: str) -> str:
        """The text without breakers."""
        return text.replace(self.breaker, "") if self.breaker else text

    def without_breakers(self, batch: dict[str, Any], side: str) -> dict[str, Any]:
        """The batch of (batch, length) tokens without breakers, padded by as many more on a side."""
        ids, seen = batch["input_ids"], batch["attention_mask"] == 1
        gone = (ids == self.breaker_id) & seen if self.breaker_id is not None else ids != ids
        if not gone.any():
            return batch
        order = (gone if side == "right" else ~gone).int().argsort(dim=1, stable=True)
        empty = (~seen | gone).gather(1, order)
        fill = {"input_ids": self.pad_id, "labels": -100}
        moved = {
            key: value.gather(1, order).masked_fill(empty, fill.get(key, 0))
            for key, value in batch.items()
            if key in TOKENS
        }
        return {**batch, **moved}
