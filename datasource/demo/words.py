"""Answers to the NPS question, put together from phrases in English and Dutch."""

import json
from collections.abc import Iterable
from itertools import product
from random import Random

# How often a score from 0 to 10 is given, out of a hundred.
SCORES = (2, 1, 2, 2, 3, 5, 6, 12, 20, 21, 26)

# Per language: things, then verdicts of detractors, passives and promoters, then closings.
_PHRASES = {
    "en": (
        ("The chat", "Your assistant", "The whole visit", "Booking a slot", "Getting an answer",
         "The advice", "The prize draw", "Signing up"),
        (("took far too long", "got me nowhere", "felt like talking to a wall", "was a letdown"),
         ("was all right", "did the job", "could be a bit quicker", "was fine, nothing special"),
         ("was a joy", "worked at the first try", "was quick and friendly", "beat my hopes")),
        ("", " Used it on my phone.", " My second time here.", " Please add more opening hours."),
    ),
    "nl": (
        ("De chat", "Jullie assistent", "Het hele bezoek", "Een afspraak maken", "Antwoord krijgen",
         "Het advies", "De winactie", "Aanmelden"),
        (("duurde veel te lang", "leverde niets op", "ging drie keer mis", "viel erg tegen"),
         ("ging wel", "deed wat het moest doen", "mag wat vlotter", "was prima, niet bijzonder"),
         ("was een feestje", "lukte in één keer", "ging snel en vriendelijk", "was top")),
        ("", " Gewoon op mijn telefoon.", " Ik kom vaker terug.", " Liefst ook in de avond open."),
    ),
}


def nps_answers(rng: Random, languages: Iterable[str], size: int = 2000) -> tuple[str, ...]:
    """A deck of `size` answers as JSON fields (`,"score":9,"text":"…"`), scores as in SCORES.

    Six in ten have a text in one of `languages` ("en", "nl"); the first six are fixed.
    """
    pools = [[f"{thing} {verdict}.{closing}" for lang in languages
              for things, verdicts, closings in [_PHRASES[lang]]
              for thing, verdict, closing in product(things, verdicts[segment], closings)]
             for segment in range(3)]
    deck: list[str] = []
    for score in [9, 10, 8, 10, 4, 7, *rng.choices(range(11), SCORES, k=size - 6)]:
        text = json.dumps(rng.choice(pools[(score > 6) + (score > 8)]), ensure_ascii=False)
        spoken = len(deck) < 6 or rng.random() < 0.6
        deck.append(f',"score":{score}' + (f',"text":{text}' if spoken else ""))
    return tuple(deck)
