"""Turns: whatever order bids are decided in, their RESULTs come in the order of the bids."""

from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.auction.turns import Turn, Turns
from tickstorm.auction.wire import result_frame

STANDING = Standing(500, 7, 1, 501, 2000)


def some_bids(*ids):
    return [Bid(1, 7, 500, id) for id in ids]


def accepted(bid):
    return Answer(Outcome.ACCEPTED, bid.cents, STANDING)


def test_a_turn_takes_its_answers_in_any_order():
    bids = some_bids(1, 2, 3)
    turn = Turn(bids)
    assert (turn.missing, list(turn.undecided())) == (3, [0, 1, 2])
    turn.answer(1, Answer(Outcome.MALFORMED, 0))
    assert (turn.missing, list(turn.undecided())) == (2, [0, 2])
    turn.answer(2, accepted(bids[2]))
    turn.answer(0, accepted(bids[0]))
    assert (turn.missing, list(turn.undecided())) == (0, [])
    assert turn.results() == [
        result_frame(bids[0], accepted(bids[0])),
        result_frame(bids[1], Answer(Outcome.MALFORMED, 0)),
        result_frame(bids[2], accepted(bids[2])),
    ]


def test_a_bid_has_one_answer_only():
    (bid,) = some_bids(1)
    turn = Turn([bid])
    turn.answer(0, Answer(Outcome.UNDECIDED, 500))
    turn.answer(0, accepted(bid))
    assert (turn.missing, turn.results()) == (
        0,
        [result_frame(bid, Answer(Outcome.UNDECIDED, 500))],
    )


def test_what_is_not_told_is_counted_until_it_is_taken():
    turns = Turns()
    assert (turns.untold, turns.take()) == (0, [])
    turn = Turn(some_bids(1, 2))
    turns.add(turn)
    for place in (0, 1):
        assert (turns.untold, turns.take()) == (2, [])
        turn.answer(place, accepted(turn.bids[place]))
    assert (turns.untold, len(turns.take()), turns.untold, turns.take()) == (2, 2, 0, [])


def test_what_nobody_is_left_to_hear_is_forgotten():
    turns = Turns()
    turn = Turn(some_bids(1))
    turns.add(turn)
    turns.clear()
    turn.answer(0, accepted(turn.bids[0]))
    assert (turns.untold, turns.take()) == (0, [])


@given(st.lists(st.integers(1, 4), max_size=6), st.data())
def test_results_come_in_the_order_of_the_bids(sizes, data):
    numbers = iter(range(100))
    all_turns = [Turn(some_bids(*(next(numbers) for _ in range(size)))) for size in sizes]
    turns = Turns()
    for turn in all_turns:
        turns.add(turn)
    places = [(turn, place) for turn in all_turns for place in range(len(turn.bids))]
    told = []
    for turn, place in data.draw(st.permutations(places)):
        turn.answer(place, accepted(turn.bids[place]))
        if data.draw(st.booleans()):
            told += turns.take()
    told += turns.take()
    assert told == [result_frame(bid, accepted(bid)) for turn in all_turns for bid in turn.bids]
    assert turns.untold == 0
