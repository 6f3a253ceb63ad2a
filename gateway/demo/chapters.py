"""History goes into the ledger as spool frames of an incarnation of its own, one chapter after the other.

A chapter is noted before its first frame is posted, and the ledger skips what it has, so a demo that was killed while
it made its history goes on where it stopped. A demo started again days later gets the days between as a new chapter.
"""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import TypedDict

from gateway.clock import DAY_US, HOUR_US, MINUTE_US
from gateway.demo.history import calls_of, plan_slots, refusals_of, scattered
from gateway.demo.home import DemoHome
from gateway.demo.stories import FREE, MONTH, Story
from gateway.metering.ports import Frame, Position
from gateway.metering.record import SpoolEntry, encode
from gateway.period import calendar_period, from_us, to_us
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store

FILE = "history.json"
DAYS = 90
WORTH_A_CHAPTER_US = 6 * HOUR_US
QUIET_US = 2 * MINUTE_US  # so that no limit per minute is used up by the past
BATCH = 5_000


class Chapter(TypedDict):
    """``[start_us, end_us)`` of the history. ``this_month`` maps a tenant to its calls in the month of the end."""

    incarnation: str
    seed: int
    start_us: int
    end_us: int
    this_month: dict[str, int]
    done: bool


async def write_history(home: DemoHome, store: Store, stories: list[Story], now_us: int) -> int:
    """Bring the history up to now; returns how many entries the ledger has of its newest chapter, 0 without one."""
    chapters: list[Chapter] = home.read(FILE) or []
    if not chapters or (chapters[-1]["done"] and now_us - chapters[-1]["end_us"] > WORTH_A_CHAPTER_US):
        start_us = chapters[-1]["end_us"] if chapters else now_us - DAYS * DAY_US
        chapters.append(await _next_chapter(store, stories, len(chapters) + 1, start_us, now_us))
        home.write(FILE, chapters)
    chapter = chapters[-1]
    if chapter["done"]:
        return 0
    entries = (record for story in stories for record in _records(story, chapter))
    posted = await _post(store, chapter["incarnation"], entries)
    chapter["done"] = True
    home.write(FILE, chapters)
    return posted


async def write_scattered(store: Store, stories: list[Story], calls: int, now_us: int) -> int:
    """A few calls for each of many tenants, posted once for this number of tenants."""
    start_us = now_us - DAYS * DAY_US
    incarnation = f"demo-scale-{len(stories)}"
    if incarnation in await store.ledger.cursors(PLATFORM):
        return 0
    entries = (record for story in stories for record in scattered(story, start_us, now_us, calls, len(stories)))
    return await _post(store, incarnation, entries)


async def _next_chapter(store: Store, stories: list[Story], number: int, start_us: int, now_us: int) -> Chapter:
    this_month = {}
    for story in stories:
        if story.monthly is not None:
            month = calendar_period(from_us(now_us), MONTH, story.zone)
            used = await store.ledger.quota_sums(PLATFORM, story.tenant, "calls", to_us(month.start), now_us)
            this_month[story.tenant] = max(0, story.monthly - used)
    # Not in the last two minutes, unless the month is younger than that.
    month_starts = [to_us(calendar_period(from_us(now_us), MONTH, story.zone).start) for story in stories]
    end_us = max(now_us - QUIET_US, min(now_us, max(month_starts) + 1))
    return Chapter(
        incarnation=f"demo-history-{number}",
        seed=number,
        start_us=start_us,
        end_us=end_us,
        this_month=this_month,
        done=False,
    )


def _records(story: Story, chapter: Chapter) -> Iterator[SpoolEntry]:
    start_us, end_us, seed = chapter["start_us"], chapter["end_us"], chapter["seed"]
    slots = plan_slots(story, start_us, end_us, chapter["this_month"].get(story.tenant))
    yield from calls_of(story, slots, seed)
    if story.tenant == FREE:
        yield from refusals_of(story, start_us, end_us, seed)


async def _post(store: Store, incarnation: str, entries: Iterable[SpoolEntry]) -> int:
    sequence = count(1)
    frames = (Frame(Position(incarnation, next(sequence)), encode(entry)) for entry in entries)
    posted = 0
    while batch := list(islice(frames, BATCH)):
        posted = await store.ledger.post(incarnation, batch)
    return posted
