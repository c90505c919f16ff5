"""Prompts of every kind of text: token for token what transformers makes of them, and no word lost in silence."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from campaign.bundles import signed_toy
from campaign.sandbox import Ended, call, events, run, settle
from campaign.tally import Tally
from campaign.yard import Yard

ROOM = 75
"""Tokens of a prompt that the text encoder reads."""
DRAWN_EVERY = 20
"""One prompt in so many goes through `lira-generate`, which takes longer."""
WORDS = "a the red blue apple frog left of bicycle it's don't 12345 CAFÉ naïve <|endoftext|> 's 'LL !!! ... --".split()
RIGHT_TO_LEFT = "שלום العربية \u202e\u202d\u2066\u2069\u200f ܐܒܓ \u07ca"
COMBINING = "".join(chr(code) for code in (*range(0x300, 0x370), *range(0x1AB0, 0x1ABF), *range(0x20D0, 0x20F1)))
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u2028\u2029\u0085\u00a0\u3000\u2003\x00\x07\x1b\x7f\u061c"
EMOJI = ("👩\u200d👩\u200d👧", "🏳️\u200d🌈", "🇫🇷", "👍🏽", "🍎", "☃️", "1️⃣", "🫠", "🏴\U000e0067\U000e0062\U000e007f")
TRICKY = "ﬁ İstanbul ΣΊΣΥΦΟΣ ß ſ ǅ Ω K Å ½ ² ٣ Ⅷ ㎏ ｆｕｌｌ ﷺ \U0001d400 ẞ ŉ ΐ ՚ ʼn"
LONE = tuple(map(chr, (0xD800, 0xDBFF, 0xDC00, 0xDC80, 0xDCFF, 0xDFFF)))
"""Surrogates, as a shell's bytes that are no UTF-8 become."""
Kind = Callable[[Random], str]


def _characters(pool: str) -> Kind:
    return lambda random: "".join(random.choice(pool) for _ in range(random.randrange(1, 120)))


def _plane(random: Random) -> str:
    plane = random.randrange(17)
    codes = (plane * 0x10000 + random.randrange(0x10000) for _ in range(random.randrange(1, 60)))
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000) or "x"


def _block(random: Random) -> str:
    """Neighbours: letters of one script."""
    start = random.choice(
        [random.randrange(0x3000), random.randrange(0xA000, 0xD700), random.randrange(0x1F000, 0x1FB00)]
    )
    return "".join(chr(start + random.randrange(128)) for _ in range(random.randrange(1, 80)))


def _words(random: Random) -> str:
    return " ".join(random.choice(WORDS) for _ in range(random.randrange(1, 110)))


def _mixed(random: Random) -> str:
    parts = [KINDS[random.choice(["plane", "words", "emoji", "invisible", "tricky"])](random)[:20] for _ in range(6)]
    return random.choice(["", " ", "\t"]).join(parts)


def _long(random: Random) -> str:
    piece = random.choice(["x", "cat ", "🍎", "é", "e\u0301", " ", "\u200b", "<|endoftext|>", _words(random)])
    return (piece * (100_000 // len(piece) + 1))[:100_000]


def _lone(random: Random) -> str:
    text = list(_words(random))
    text.insert(random.randrange(len(text) + 1), random.choice(LONE))
    return "".join(text)


KINDS: Mapping[str, Kind] = {
    "plane": _plane,
    "block": _block,
    "words": _words,
    "right to left": _characters(RIGHT_TO_LEFT),
    "combining": lambda random: "".join(random.choice("aeio ") + random.choice(COMBINING) * 3 for _ in range(40)),
    "invisible": _characters(INVISIBLE + "ab "),
    "emoji": lambda random: "".join(random.choice(EMOJI) for _ in range(random.randrange(1, 40))),
    "tricky": _characters(TRICKY),
    "mixed": _mixed,
    "long": _long,
    "lone surrogate": _lone,
}
RARE = 50
"""A prompt of 100,000 characters takes longer than all others: one in so many."""


def prompts(count: int, seed: int, only: int | None = None) -> Tally:
    """Encode and compare; some are drawn too."""
    import lira_runtime.cli  # noqa: F401
    from lira_runtime.tokenizer import ClipTokenizer

    tally, order = Tally("prompts"), [kind for kind in KINDS if kind != "long"]
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        bundle, _ = signed_toy(Path(folder))
        settle()
        yard, ours, theirs = Yard(Path(folder) / "yard"), ClipTokenizer.vendored(), transformers_tokenizer()
        yard.make()
        for case in range(count) if only is None else [only]:
            kind = "long" if case % RARE == RARE - 1 else order[case % len(order)]
            prompt = KINDS[kind](Random(f"{seed} prompts {case}"))
            fault, refused = compare(ours, theirs, prompt)
            if not fault and (kind == "long" or case % DRAWN_EVERY == case // DRAWN_EVERY % DRAWN_EVERY):
                fault = drawn(yard, bundle, ours, prompt)
            if fault:
                tally.blame(f"case {case}, {kind}, {prompt[:40]!r}: {fault}")
            else:
                tally.count("refused" if refused else "accepted")
    return tally


def transformers_tokenizer() -> Any:
    """transformers' CLIP tokenizer of the same merges, its vocabulary made here."""
    from transformers import CLIPTokenizer

    from lira_runtime.tokenizer import read_merges

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + extra) for extra in range(256 - len(printable))]
    merges = read_merges()
    words = [*symbols, *(f"{each}</w>" for each in symbols), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=merges)


def compare(ours: Any, theirs: Any, prompt: str) -> tuple[str | None, bool]:
    """What is wrong with how a prompt is encoded, and whether it was refused, which text that is no Unicode must be."""
    from lira_runtime.errors import BadInput

    is_text = not any(0xD800 <= ord(each) < 0xE000 for each in prompt)
    try:
        tokens = ours.encode(prompt)
    except BadInput:
        return ("it was refused" if is_text else None), True
    if not is_text:
        return "it was taken, and is no Unicode", False
    whole = theirs(prompt, add_special_tokens=False)["input_ids"]
    wanted = [49406, *whole[:ROOM], 49407]
    wanted += [49407] * (ROOM + 2 - len(wanted))
    if tokens.ids[0].tolist() != wanted:
        return f"{tokens.ids[0].tolist()[:12]}, but transformers says {wanted[:12]}", False
    return _wrongly_cut(ours, tokens, prompt, whole), False


def _wrongly_cut(ours: Any, tokens: Any, prompt: str, whole: list[int]) -> str | None:
    """What is wrong about what is said to be dropped: it must be the prompt's end, and what is before it must fit."""
    if tokens.truncated != (len(whole) > ROOM):
        return f"{len(whole)} tokens, but truncated is {tokens.truncated}"
    if not tokens.truncated:
        return None if tokens.dropped == "" else "something is dropped from what fits"
    if not tokens.dropped or not prompt.endswith(tokens.dropped):
        return f"what is dropped, {tokens.dropped[:40]!r}, is not the prompt's end"
    rest = ours.encode(prompt[: -len(tokens.dropped)])
    same = sum(1 for one, other in zip(rest.ids[0], tokens.ids[0], strict=True) if one == other)
    return None if not rest.truncated or same > ROOM - 10 else "more was dropped than is said"


def drawn(yard: Yard, bundle: Path, ours: Any, prompt: str) -> str | None:
    """What is wrong about how `lira-generate` takes it: refused with what it would lose, or cut with what it lost."""
    from lira_runtime.cli import main

    picture = yard.out / "a.png"
    picture.unlink(missing_ok=True)
    asked = (bundle, "--out", picture, "--steps", "1", "--threads", "1")
    ended = run(call(main, *asked, "--", prompt), yard)
    is_text = not any(0xD800 <= ord(each) < 0xE000 for each in prompt)
    tokens = ours.encode(prompt) if is_text else None
    takes = tokens is not None and not tokens.truncated and bool(prompt.strip())
    if fault := ended.fault() or _wrongly_drawn(ended, takes, picture, prompt):
        return f"lira-generate: {fault}"
    if tokens is None or not tokens.truncated:
        return None
    if " ".join(repr(tokens.dropped[:15])[1:-1].split()) not in ended.err:
        return f"lira-generate does not say what it would lose: {ended.err[-200:]!r}"
    cut = run(call(main, *asked, "--cut", "--json", "--", prompt), yard)
    if cut.code or cut.fault():
        return f"lira-generate --cut: {cut.fault() or cut.code}"
    said = [each["dropped"] for each in events(cut.out) if each["event"] == "prompt_cut"]
    if said != [tokens.dropped]:
        return f"lira-generate --cut says that {str(said)[:80]} was dropped"
    return _wrongly_drawn(cut, True, picture, prompt)


def _wrongly_drawn(ended: Ended, takes: bool, picture: Path, prompt: str) -> str | None:
    from PIL import Image

    if (ended.code == 0) != takes:
        return f"it ended with {ended.code}: {ended.err[-200:]!r}"
    if not takes:
        return "it refused and drew" if picture.exists() else None
    with Image.open(picture) as image:
        image.load()
        return None if image.info["prompt"] == prompt else f"the picture says {image.info['prompt'][:60]!r}"
