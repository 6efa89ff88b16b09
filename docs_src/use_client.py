"""Calls a running cluster's counter; `outvote up --machine counter:Counter` starts one."""

import asyncio

from counter import Counter

from outvote import connect


async def main() -> None:
    async with connect("outvote-cluster", Counter) as counter:
        print(await counter.add(3))
        print(await asyncio.gather(*(counter.add(1) for _ in range(5))))


asyncio.run(main())
