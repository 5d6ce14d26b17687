"""The next items are made while one is worked on: decoding beside computing."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item], depth: int = 4) -> Iterator[Item]:
    """The same items, made in a thread of their own before they are asked for.

    Worth it where making them leaves the interpreter alone, as decoding does. What making one raises is raised in its
    place; when the caller stops early, so does the thread.

    Args:
        items: run through once, in the thread.
        depth: how many are made before they are asked for; no more are held.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1) as maker:
        made: deque[Any] = deque(maker.submit(next, source, end) for _ in range(depth))
        try:
            while (item := made.popleft().result()) is not end:
                made.append(maker.submit(next, source, end))
                yield item
        finally:
            for future in made:
                future.cancel()
