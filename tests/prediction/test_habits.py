"""From distributions to "did anyone feel it?"."""

import numpy as np

from artaffect.prediction.evaluation import felt_by_anyone, fit_readers


def test_a_bit_is_set_where_somebody_is_likely_to_feel_it() -> None:
    # one of two readers with probability 1 - 0.7^2 = 0.51, or 1 - 0.75^2 = 0.44
    assert felt_by_anyone(np.array([[0.3, 0.25]]), 2).tolist() == [[True, False]]


def test_independent_readers_are_counted_right_and_agreeing_ones_less() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.full(9, 0.7), 4000)
    independent = np.stack([rng.multinomial(6, p) for p in chances])
    assert 5 <= fit_readers(independent, chances) <= 6
    agreeing = 6 * np.stack([rng.multinomial(1, p) for p in chances])
    assert fit_readers(agreeing, chances) <= 2
