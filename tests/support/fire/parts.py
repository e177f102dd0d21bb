"""What can be asked of a desk under fire, by name."""

from tests.support.fire.books import books
from tests.support.fire.crashes import crashes, unsaid
from tests.support.fire.cuts import cuts
from tests.support.fire.keys import keys
from tests.support.fire.kills import kills
from tests.support.fire.race import race
from tests.support.fire.resting import resting

PARTS = {
    "race": race,
    "kills": kills,
    "keys": keys,
    "crashes": crashes,
    "unsaid": unsaid,
    "cuts": cuts,
    "resting": resting,
    "books": books,
}
