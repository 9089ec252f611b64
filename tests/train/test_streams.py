"""Random streams by name."""

import torch

from harness.train.streams import generator, seeded, stream_seed


def test_streams_of_one_seed_differ_and_repeat():
    """Five names, five seeds, the same ones tomorrow."""
    names = ("student", "order", "augmentation", "dropout", "method")
    seeds = [stream_seed(0, name) for name in names]
    assert len(set(seeds)) == 5
    assert seeds == [stream_seed(0, name) for name in names]
    assert stream_seed(1, "order") != stream_seed(0, "order")


def test_drawing_from_one_stream_does_not_move_another():
    """The order is the same whether or not the method draws."""
    alone = torch.randperm(50, generator=generator(3, "order"))
    method, order = generator(3, "method"), generator(3, "order")
    torch.rand(1000, generator=method)
    assert torch.equal(alone, torch.randperm(50, generator=order))


def test_a_seeded_block_leaves_the_global_generator_as_it_was():
    """An initialisation inside draws from its stream alone."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with seeded(0, "student"):
        first = torch.rand(3)
    with seeded(0, "student"):
        second = torch.rand(3)
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)
