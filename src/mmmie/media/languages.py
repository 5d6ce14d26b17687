"""Whether a text is in the language that is expected, as far as its letters and its commonest words tell."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_SCRIPTS = {
    "CYRILLIC": ("ru", "uk", "bg", "mk", "be"),
    "GREEK": ("el",),
    "ARABIC": ("ar", "fa", "ur", "ps"),
    "HEBREW": ("he", "yi"),
    "DEVANAGARI": ("hi", "mr", "ne", "sa"),
    "ETHIOPIC": ("am", "ti"),
    "THAI": ("th",),
    "HANGUL": ("ko",),
    "CJK": ("zh", "ja", "yue", "ko"),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
}
_SEVERAL_SCRIPTS = ("sr", "bs", "kk", "mn", "az", "uz", "tt", "tg", "pa", "sd")
"""Languages written in other scripts than Latin, and those written in several, which are not judged. A language that is
not here is taken to be written in Latin, or, like Bengali, in a script that is not judged."""

_ENGLISH = """the and you that it is to this my with for they have are what but not just like be it's i'm don't really
he she we that's can do if there about out know"""
"""Common words of English speech that other languages in Latin letters hardly share."""
LEAST_WORDS = 30
"""Different ones; fewer tell too little."""
ENGLISH_SHARE = 0.1
"""In English speech every third word is one of them: of 2546 transcripts of CMU-MOSI and CMU-MOSEI three have less than
this, and those are lists of search terms and names. Eight European languages have 0 to 7 in a hundred."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def language_notes(texts: Sequence[str], language: str | None) -> list[str]:
    """One note where the text is not in the language, else none.

    Args:
        texts: of one transcript.
        language: a code ("en"); None: nobody said, and English is what is read.
    """
    code = (language or "en").lower().replace("_", "-").split("-")[0]
    given = f"the language was given as '{language}'" if language else "no language was given, so it is read as English"
    script = _script(texts)
    written_in = {name for name, codes in _SCRIPTS.items() if code in codes} or {"LATIN"}
    judged = code not in _SEVERAL_SCRIPTS and (script == "LATIN" or script in _SCRIPTS)
    if judged and script not in written_in:
        return [f"{given}, and the text is written in {script.capitalize()} letters"]
    words = [word.replace("’", "'") for text in texts for word in _WORD.findall(text.lower())]
    english = set(_ENGLISH.split())
    num_english = sum(word in english for word in words)
    if code == "en" and len(set(words)) >= LEAST_WORDS and num_english < ENGLISH_SHARE * len(words):
        return [f"{given}, and the text does not look like English: common English words are rare in it"]
    return []


def _script(texts: Sequence[str]) -> str:
    """That of most letters, in Unicode's names; empty where there is no letter."""
    letters = (c for text in texts for c in text if c.isalpha())
    scripts = Counter(unicodedata.name(c, "").split(" ")[0].split("-")[0] for c in letters)
    return scripts.most_common(1)[0][0] if scripts else ""
