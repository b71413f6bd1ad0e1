"""The languages that rows can be translated into.

In: what a user calls one: zh, or sw=swh_Latn.  Out: its Language, or a sentence that names the nearest code.
"""

import re

from M3IT import LANGUAGES, Language, nearest
from m3it.catalogue import ENGLISH
from m3it.rows.instance import M3ITError


def find_language(given: str) -> Language:
    """The language of a code, or of CODE=NLLB_CODE for one that M3IT-80 does not have; M3ITError with the nearest."""
    known = {**LANGUAGES, "en": ENGLISH}
    if given in known:
        return known[given]
    code, _, nllb = given.partition("=")
    if re.fullmatch(r"[a-z]{2,8}", code) and re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", nllb):
        return Language(code, nllb, nllb, nllb)
    code_by_name: dict[str, str] = {}
    for language in known.values():
        short = language.name.partition(" (")[0]  # Chinese, of Chinese (Simplified)
        names = (language.nllb[:3], language.nllb, language.own_name, language.name, short, language.code)
        code_by_name |= {name.casefold(): language.code for name in names}
    wanted = (given.casefold(), re.split("[-_]", given)[0].casefold())
    near = next((name for name in wanted if name in code_by_name), None) or nearest(wanted[0], code_by_name, 0.6)
    code = code_by_name[near] if near else ""
    hint = f" Did you mean {code!r} ({known[code].name})?" if near else ""
    raise M3ITError(
        f"Unknown language {given!r}.{hint} One of the 80 codes is expected, e.g. zh or fr, or CODE=NLLB_CODE for "
        "another, e.g. sw=swh_Latn."
    )
