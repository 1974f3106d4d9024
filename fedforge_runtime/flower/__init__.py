"""The only door to the private parts of Flower: nothing else imports them, or knows a name of theirs.

Flower's public way in is its commands. They start a Python process for every message and sleep for seconds between
polls, which is most of a round's time, so nodes and runs speak its protocol themselves. What that takes may change
with any release: `tests/unit/flower/test_flower_contract.py` says what is relied on, and fails where it changed.

There is a module for each process that needs something, since what they load differs by seconds and by a database:

- `messages`: for all of them; loads nothing beside `flwr.app`.
- `protocol`: talks to a SuperLink over HTTP.
- `link`: is the SuperLink.
- `simulation`: is Flower's simulation over Ray.
"""
