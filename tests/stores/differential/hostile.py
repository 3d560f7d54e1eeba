"""Texts that databases have confused, cut, folded, normalised or taken for something else."""

from __future__ import annotations

from random import Random

# In each group texts that look alike, sort side by side or begin with each other.
FAMILIES = (
    ("a", "A", "a ", " a", "a\u0301", "\u00e1"),
    ("stra\u00dfe", "strasse", "STRASSE", "stra\u1e9ee"),
    ("\u0130", "i", "I", "\u0131", "i\u0307"),
    ("%", "_", "%%", "a%", "a_", "*", "?", "[a-z]"),
    ("'", "''", '"', "`", "a'; --", "'; DROP TABLE flows; --", "$$"),
    ("\\", "\\\\", "\\n", "\n", "\t", "\r\n", "\\x41", "\\u0041"),
    ("NULL", "null", "None", "default", "\ufffd"),
    ("0", "00", "0.0", "1", "1e0", "-1", "true"),
    ('["a",1]', '{"a":1}', '"a"', "[]", "{}", "$[0]", "$.a"),
    (":type", "?1", "$1", "%s", "%(x)s", "{0}"),
    ("\x01", "\x1f", "\x7f", "\x85", "\u2028"),
    ("\u202egnp.exe", "\u05d0a", "\u200b", "\ufeff", "\u00ad"),
    ("\U0001f600", "\U00010000", "\uffff", "\ue000", "\ud7ff", "\U0010ffff", "a\U0010ffff"),
    ("\uff5e", "\U00010400", "\uffee", "z"),
    ("\u1100\u1161\u11a8", "\uac01", "\u2126", "\u03a9", "\ufb01", "fi"),
    ("x" * 255, "x" * 254, "x" * 254 + "y", "\U0001f600" * 255),
)

BODIES = (
    "null",
    "",
    '"x"',
    "'\"\\",
    '"\\u0000"',
    "\U0001f600\u0301",
    "".join(map(chr, range(1, 32))),
    "12345678901234567890.10",
    "x" * 5000,
)

TYPES = (None, "", "Note", "\u00c9t\u00e9", "a.B")

# Keys of effects, with those that stand right before and behind what is beneath another.
KEYS = (
    "a",
    "a.1",
    "a.2",
    "a.begun",
    "a.due",
    "a/b",
    "a/b.1",
    "a/c/d",
    "a#2",
    "a#2.1",
    "a-",
    "a0",
    "a0.1",
    "ab",
    "a:b",
    "A",
    "A.1",
    "b",
    "b.begun",
    "b/a",
    "%",
    "%.1",
    "_",
    "_.1",
    "\u00e9",
    "e\u0301",
    "e\u0301.1",
    "\U0010ffff",
    "\U0010ffff.1",
    "\U0010ffff\U0010ffff",
    "\ud7ff",
    "\ud7ff.1",
    "\ue000",
    "~cancel",
)

# What a record may drop: whatever begins with one of these.
PREFIXES = ("a", "a.", "a/", "a/b", "A", "%", "_", "e", "\U0010ffff", "\ud7ff", "", "\u00e9")


def texts(random: Random, count: int) -> list[str]:
    """Give different texts, at least two and half of them of one family."""
    family = random.choice((*FAMILIES, *FAMILIES[:2], *FAMILIES[:2]))
    found = random.sample(family, min(len(family), count, max(2, (count + 1) // 2)))
    while len(found) < count:
        text = random.choice(random.choice(FAMILIES))
        if text not in found:
            found.append(text)
    random.shuffle(found)
    return found
