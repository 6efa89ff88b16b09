"""A class to be tested: accounts in cents."""

from outvote import Rejected, StateMachine, command, query


class Bank(StateMachine):
    accounts: dict[str, int] = {}

    @command
    def deposit(self, account: str, amount: int) -> int:
        if amount <= 0:
            raise Rejected("an amount must be positive")
        self.accounts[account] = self.accounts.get(account, 0) + amount
        return self.accounts[account]

    @command
    def transfer(self, source: str, target: str, amount: int) -> None:
        if not 0 < amount <= self.accounts.get(source, 0):
            raise Rejected(f"{source} does not hold so much")
        self.accounts[source] -= amount
        self.accounts[target] = self.accounts.get(target, 0) + amount

    @query
    def total(self) -> int:
        return sum(self.accounts.values())
