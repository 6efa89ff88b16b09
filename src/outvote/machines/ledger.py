"""A bank ledger: the example in which a lie would be worth money.

Invariant: the balances are never negative, and their sum equals what was deposited; `total` computes both so that
anybody can compare. Only the client that opened an account may transfer from it. Anyone may deposit: a real bank
would let its cashier alone create money.
"""

from __future__ import annotations

from typing import Final

import msgspec

from outvote.machines.contract import Context
from outvote.machines.machine import Rejected, StateMachine, command, query

NAME_CHARACTERS_MAX: Final = 64
ACCOUNTS_OF_ONE_CLIENT_MAX: Final = 1000  # about 150 bytes each: 150 KB a client
DEPOSITED_MAX: Final = 1 << 62  # in all; a sum of balances then stays below 64 bits


class Account(msgspec.Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """Cents, and the client that may spend them."""

    owner: int
    balance: int


class Total(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Two sums that must be equal."""

    balances: int
    deposited: int


class Ledger(StateMachine):
    """Accounts by name, amounts in cents."""

    accounts: dict[str, Account] = msgspec.field(default_factory=dict)
    opened: dict[int, int] = msgspec.field(default_factory=dict)  # client -> how many accounts
    deposited: int = 0

    @command
    def open_account(self, name: str, context: Context) -> None:
        """Open an empty account, to be spent from by this client alone."""
        if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
            raise Rejected(f"a name has 1 to {NAME_CHARACTERS_MAX} characters, not {len(name)}")
        if name in self.accounts:
            raise Rejected(f"there is an account {name!r} already")
        count = self.opened.get(context.client, 0)
        if count >= ACCOUNTS_OF_ONE_CLIENT_MAX:
            raise Rejected(f"one client may open {ACCOUNTS_OF_ONE_CLIENT_MAX} accounts")
        self.opened[context.client] = count + 1
        self.accounts[name] = Account(context.client, 0)

    @command
    def deposit(self, account: str, amount: int) -> int:
        """Put new money into an account. Returns its balance."""
        target = self._account(account)
        _check_amount(amount)
        if self.deposited + amount > DEPOSITED_MAX:
            raise Rejected("there is not so much money")
        self.deposited += amount
        target.balance += amount
        return target.balance

    @command
    def transfer(self, source: str, target: str, amount: int, context: Context) -> int:
        """Move money between two accounts. Returns the balance left at the source."""
        giver, taker = self._account(source), self._account(target)
        _check_amount(amount)
        if giver.owner != context.client:
            raise Rejected(f"the account {source!r} belongs to another client")
        if giver.balance < amount:
            raise Rejected(f"the account {source!r} holds {giver.balance}, not {amount}")
        giver.balance -= amount
        taker.balance += amount
        return giver.balance

    @query
    def balance(self, account: str) -> int:
        """Cents in an account."""
        return self._account(account).balance

    @query
    def total(self) -> Total:
        """All balances added up, beside all deposits."""
        return Total(sum(account.balance for account in self.accounts.values()), self.deposited)

    def _account(self, name: str) -> Account:
        account = self.accounts.get(name)
        if account is None:
            raise Rejected(f"there is no account {name[:NAME_CHARACTERS_MAX]!r}")
        return account


def _check_amount(amount: int) -> None:
    if amount <= 0:
        raise Rejected(f"an amount must be positive, not {amount}")
