"""Documents, more of them than fit in memory: their texts are kept in a store on each replica's disk."""

from outvote import StateMachine, command, query


class Archive(StateMachine, stored=("documents",)):
    documents: dict[str, str] = {}
    writes: int = 0

    @command
    def put(self, name: str, text: str) -> int:
        self.documents[name] = text
        self.writes += 1
        return self.writes

    @command
    def drop(self, name: str) -> bool:
        return self.documents.pop(name, None) is not None

    @query
    def read(self, name: str) -> str | None:
        return self.documents.get(name)

    @query
    def count(self) -> int:
        return len(self.documents)
