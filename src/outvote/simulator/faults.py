"""What the entries of a plan's fault schedule do to the world.

Kept: whatever a schedule says, at most f identities lie, have forgotten promises, cannot be started or are left behind;
an entry that would make it one more is passed over. Removing an entry from a schedule never makes it impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Final

from outvote.simulator.plan import Fault
from outvote.types import FIRST_CLIENT, MILLISECOND, Nanos, ReplicaId

if TYPE_CHECKING:
    from outvote.simulator.replica import SimulatedReplica
    from outvote.simulator.world import World

CLOCKS_AGREE_NS: Nanos = 2_000 * MILLISECOND  # once clocks are set right; protocols tolerate more than twice as much


class Faults:
    """Strikes one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.spoiled: set[ReplicaId] = set()  # identities whose disks may be beyond repair
        self.left_behind: dict[int, str] = {}  # places of correct replicas that do not heal: "down" or "cut"

    def strike(self, fault: Fault) -> None:
        """Raises ValueError for a kind that does not exist."""
        if fault.kind in self._world.protocol.operations:
            self._operate(fault)
            return
        action = KINDS.get(fault.kind)
        if action is None:
            raise ValueError(f"there is no fault {fault.kind!r}: choose one of {', '.join(KINDS)}")
        action(self, fault)

    def _operate(self, fault: Fault) -> None:
        """No fault, but it comes at as bad a moment: everybody is asked, and at most one can do it; where orders are
        an owner's, its replica alone."""
        asked = [self._replica(fault)] if self._world.protocol.owners else self._world.replicas
        for replica in asked:
            if replica.turn is not None and not replica.paused:
                replica.turn.core.now = replica.clock.now()
                if not replica.turn.core.operate(fault.kind, fault.other):
                    self._struck(fault)
                replica.poke()

    def affects_too_many(self, replica: ReplicaId) -> bool:
        """Whether more than f identities would be affected if this one were too."""
        world = self._world
        affected = {one for one in world.liars if one < FIRST_CLIENT} | self.spoiled | {replica}
        affected.update(world.replicas[place].me for place in self.left_behind)
        return len(affected) > world.committee.faults

    def _replica(self, fault: Fault) -> SimulatedReplica:
        return self._world.replicas[fault.replica]

    def _struck(self, fault: Fault) -> None:
        """It has happened: for the trace, and for coverage."""
        self._world.log("world", f"{fault.kind} {fault.replica} {fault.other}")
        self._world.mark(f"fault: {fault.kind}")

    # ------------------------------------------------------------------ processes

    def crash(self, fault: Fault) -> None:
        self._replica(fault).crash_after(fault.other)

    def crash_kept(self, fault: Fault) -> None:
        self._replica(fault).crash_behind_checkpoint(fault.other)

    def crash_keeps(self, fault: Fault) -> None:
        self._replica(fault).disk.next_crash = "keeps"

    def crash_loses(self, fault: Fault) -> None:
        self._replica(fault).disk.next_crash = "loses"

    def crash_tears(self, fault: Fault) -> None:
        disk = self._replica(fault).disk
        disk.next_crash, disk.tears = "tears", Random(fault.other)

    def restart(self, fault: Fault) -> None:
        self._replica(fault).start()

    def pause(self, fault: Fault) -> None:
        if self._replica(fault).turn is not None:
            self._replica(fault).pause()
            self._struck(fault)

    def resume(self, fault: Fault) -> None:
        self._replica(fault).resume()

    # ------------------------------------------------------------------ links

    def cut(self, fault: Fault) -> None:
        self._linked(fault)
        network = self._world.network
        network.cut(fault.replica, fault.other)

        def look() -> None:
            """The rest of this partition, cut at the same instant, is in place by now."""
            if network.is_cut(fault.replica, fault.other) and not network.is_cut(fault.other, fault.replica):
                self._world.mark("links cut one way")

        self._world.mark("links cut")
        self._world.after(0, look)

    def heal(self, fault: Fault) -> None:
        self._linked(fault)
        self._world.network.heal(fault.replica, fault.other)

    def _linked(self, fault: Fault) -> None:
        self._world.log("world", f"{fault.kind} {fault.replica}->{fault.other}")

    def clog(self, fault: Fault) -> None:
        self._linked(fault)
        self._world.network.link(fault.replica, fault.other).clog()

    def unclog(self, fault: Fault) -> None:
        self._linked(fault)
        self._world.network.link(fault.replica, fault.other).unclog()

    def reset(self, fault: Fault) -> None:
        self._linked(fault)
        self._world.network.link(fault.replica, fault.other).reset(0)

    def reset_mid_frame(self, fault: Fault) -> None:
        """About half of what is in flight still gets through."""
        self._linked(fault)
        plan = self._world.plan
        self._world.network.link(fault.replica, fault.other).reset(plan.delay_min + plan.delay_mean // 2 + 1)

    # ------------------------------------------------------------------ clocks

    def set_wall(self, fault: Fault) -> None:
        self._replica(fault).clock.jump_wall(fault.other)
        self._struck(fault)

    def leap(self, fault: Fault) -> None:
        self._replica(fault).clock.leap(max(0, fault.other))
        self._struck(fault)
        self._replica(fault).poke()

    def freeze(self, fault: Fault) -> None:
        self._replica(fault).clock.freeze()
        self._struck(fault)

    def thaw(self, fault: Fault) -> None:
        self._replica(fault).clock.thaw()
        self._replica(fault).poke()

    # ------------------------------------------------------------------ disks that fail, and keep what was durable

    def disk_full(self, fault: Fault) -> None:
        self._replica(fault).disk.full = True
        self._struck(fault)

    def disk_freed(self, fault: Fault) -> None:
        self._replica(fault).disk.full = False
        self._replica(fault).start()

    def sync_error(self, fault: Fault) -> None:
        self._replica(fault).disk.fails_next_sync = True
        self._struck(fault)

    def read_error(self, fault: Fault) -> None:
        """So many attempts to start fail from now on."""
        self._replica(fault).disk.unreadable = fault.other
        self._struck(fault)

    def rot_state(self, fault: Fault) -> None:
        """Of the newest snapshot: an older one and the log since then, or the other replicas, make up for it."""
        if self._replica(fault).disk.rot_states(Random(fault.other), 1):
            self._struck(fault)

    def rot_states(self, fault: Fault) -> None:
        """Of both: the records are all there, the state must come from others. Too many such replicas lose it."""
        self._spoil(fault, lambda replica: replica.disk.rot_states(Random(fault.other), 2))

    # ------------------------------------------------------------------ disks that forget

    def rot_bit(self, fault: Fault) -> None:
        self._spoil(fault, lambda replica: replica.disk.rot_log(Random(fault.other), False))

    def rot_sector(self, fault: Fault) -> None:
        self._spoil(fault, lambda replica: replica.disk.rot_log(Random(fault.other), True))

    def rot_entry(self, fault: Fault) -> None:
        """On the disk of one that is running and will be stopped in order: nothing but the damage is lost, so its
        protocol can have it mended, or the replica refuses to start."""
        replica = self._replica(fault)
        if replica.turn is not None:
            self._spoil(fault, lambda one: one.disk.rot_log(Random(fault.other), fault.other % 2 == 1))
            replica.disk.next_crash = "keeps"

    def misdirect(self, fault: Fault) -> None:
        def misdirect(replica: SimulatedReplica) -> bool:
            replica.disk.misdirects_next_write = True
            return True

        self._spoil(fault, misdirect)

    def _spoil(self, fault: Fault, act: Callable[[SimulatedReplica], bool]) -> None:
        replica = self._replica(fault)
        if not self.affects_too_many(replica.me) and act(replica):
            self.spoiled.add(replica.me)
            self._struck(fault)

    def save(self, fault: Fault) -> None:
        self._replica(fault).disk.save()

    def stale(self, fault: Fault) -> None:
        """The copy made last is put back: promises made since are forgotten, so this replica is a liar from now on."""
        replica = self._replica(fault)
        if not self.affects_too_many(replica.me):
            replica.crash()
            if replica.disk.restore_saved():
                self._amnesia(fault, replica)

    def lose(self, fault: Fault) -> None:
        """The disk is gone and an empty one takes its place."""
        replica = self._replica(fault)
        if not self.affects_too_many(replica.me):
            replica.crash()
            replica.disk.replace()
            self._amnesia(fault, replica)

    def _amnesia(self, fault: Fault, replica: SimulatedReplica) -> None:
        self._struck(fault)
        self._world.count_as_liar(replica.me, "has forgotten what it promised")
        replica.stays_down = False
        replica.start()

    # ------------------------------------------------------------------ who does not heal

    def stay_down(self, fault: Fault) -> None:
        self._leave_behind(fault, "down")

    def stay_cut(self, fault: Fault) -> None:
        self._leave_behind(fault, "cut")

    def _leave_behind(self, fault: Fault, how: str) -> None:
        """Liars are never left behind: they are to go on lying."""
        replica = self._replica(fault)
        if replica.honest and not self.affects_too_many(replica.me):
            self.left_behind[fault.replica] = how
            self._struck(fault)

    # ------------------------------------------------------------------ the end of it

    def heal_world(self) -> None:
        """From here on only liars disturb the core: links are whole, clocks right, disks usable, and everybody is up
        who can be. Who is left behind stays as it is."""
        world = self._world
        core = [replica for replica in world.replicas if replica.place not in self.left_behind]
        world.network.heal_among(replica.place for replica in core)
        for place, how in sorted(self.left_behind.items()):
            replica = world.replicas[place]
            world.mark(f"core with others {how}")
            if how == "down":
                replica.stays_down = True
                replica.crash()
                continue
            replica.resume()
            replica.start()
            for other in (*range(len(world.replicas)), *(client.client for client in world.clients)):
                world.network.cut(place, other)
                world.network.cut(other, place)
        for replica in core:
            replica.disk.mend()
            replica.clock.discipline(CLOCKS_AGREE_NS)
            replica.no_more_crashes()
            replica.resume()
            replica.start()
            replica.poke()


KINDS: Final[Mapping[str, Callable[[Faults, Fault], None]]] = {
    "crash": Faults.crash,
    "crash-kept": Faults.crash_kept,
    # What the next crash of the replica does to what was not synced:
    "crash-keeps": Faults.crash_keeps,
    "crash-loses": Faults.crash_loses,
    "crash-tears": Faults.crash_tears,
    "restart": Faults.restart,
    "pause": Faults.pause,
    "resume": Faults.resume,
    "cut": Faults.cut,
    "heal": Faults.heal,
    "clog": Faults.clog,
    "unclog": Faults.unclog,
    "reset": Faults.reset,
    "reset-mid-frame": Faults.reset_mid_frame,
    "set-wall": Faults.set_wall,
    "leap": Faults.leap,
    "freeze": Faults.freeze,
    "thaw": Faults.thaw,
    "disk-full": Faults.disk_full,
    "disk-freed": Faults.disk_freed,
    "sync-error": Faults.sync_error,
    "read-error": Faults.read_error,
    "rot-state": Faults.rot_state,
    "rot-states": Faults.rot_states,
    "rot-bit": Faults.rot_bit,
    "rot-sector": Faults.rot_sector,
    "rot-entry": Faults.rot_entry,
    "misdirect": Faults.misdirect,
    "save": Faults.save,
    "stale": Faults.stale,
    "lose": Faults.lose,
    "stay-down": Faults.stay_down,
    "stay-cut": Faults.stay_cut,
}
