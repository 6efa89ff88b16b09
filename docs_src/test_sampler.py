"""A class that is not fit to be replicated, and the test that says so."""

from sampler import Sampler

from outvote_pytest import Byzantine


def test_draws(byzantine: Byzantine) -> None:
    cluster = byzantine(Sampler)
    cluster.call("draw")
