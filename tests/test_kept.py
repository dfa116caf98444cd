"""Results that are kept: found again, forgotten by their bytes, in threads and forked processes."""

import os
import threading

import numpy as np

from torchresample import kept


def counting(n_bytes):
    made = []

    @kept.kept
    def make(*arguments):
        made.append(arguments)
        return np.zeros(n_bytes, np.uint8)

    return make, made


def test_results_are_found_again_and_large_ones_are_not_kept():
    make, made = counting(1000)
    assert make(1, "a") is make(1, "a")
    assert make(2, "a") is not make(1, "a")
    assert len(made) == 2
    make, made = counting(kept.LARGEST + 1)
    make(1), make(1)
    assert len(made) == 2


def test_what_is_asked_for_stays_and_the_rest_is_forgotten():
    make, made = counting(2**20)
    often = make("often")
    for i in range(2 * kept.KEPT >> 20):
        make(i)
        assert make("often") is often
    before = len(made)
    make(0)
    assert len(made) == before + 1


def test_sizes_of_results():
    array, parts = np.zeros(100), {}
    kept._collect((array, [array, 3], None), parts)
    assert parts == {id(array): 800}


def test_threads_and_forks():
    make, _ = counting(2**18)
    threads = [
        threading.Thread(target=lambda: [make(i % 300) for i in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    with kept._lock:  # as another thread would, at the moment of the fork
        child = os.fork()
        if child == 0:
            make("in the child")
            os._exit(0)
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert kept._bytes <= kept.KEPT // 2
