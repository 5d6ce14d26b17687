"""Items made ahead are the same items, few at a time; errors and an early end go where they belong."""

import threading
import time

import pytest

from mmmie.media.ahead import ahead


def wait_for(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 5 s")


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 100])
def test_the_same_items_in_the_same_order(count):
    assert list(ahead(iter(range(count)))) == list(range(count))


def test_they_are_made_before_they_are_asked_for_but_not_many():
    made = []
    items = ahead((made.append(n) or n for n in range(100)), depth=3)
    assert next(items) == 0
    wait_for(lambda: len(made) == 4)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]
    items.close()


def test_another_thread_makes_them():
    assert set(ahead(threading.get_ident() for _ in range(10))).isdisjoint({threading.get_ident()})


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        yield 2
        raise ValueError("third")

    taken = ahead(items())
    assert (next(taken), next(taken)) == (1, 2)
    with pytest.raises(ValueError, match="third"):
        next(taken)


def test_who_stops_early_leaves_no_thread():
    before = threading.active_count()
    for item in ahead(iter(range(1000))):
        if item == 5:
            break
    del item
    wait_for(lambda: threading.active_count() == before)
