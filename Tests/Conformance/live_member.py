"""A classic member on the raw wire that does what a client library does, in a thread, whatever happens to the broker.

It joins, syncs (assigning when it leads), beats, starts anew when it is told to, and reconnects
when the connection ends. `History` holds what all members of a group have been told: a
generation must never mean two memberships, nor give a partition to two of them.
"""

import threading
import traceback

from members import (FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID, round_robin)
from waiting import wait_for
from wire import ConnectionClosed

# The coordinator is not there, or is not ready: a client asks again.
RETRIABLE = {14, 15, 16}


class History:
    def __init__(self):
        self.lock, self.faults = threading.Lock(), []
        self.memberships, self.owners = {}, {}

    def note_join(self, member):
        reply = member.joined
        if not member.leads or reply.error_code != 0:
            return
        with self.lock:
            now = frozenset(m.member_id for m in reply.members)
            before = self.memberships.setdefault(reply.generation_id, now)
            if before != now:
                self.faults.append(f"generation {reply.generation_id} meant {set(before)} and then {set(now)}")

    def note_assignment(self, member):
        with self.lock:
            for where in member.owned:
                owner = self.owners.setdefault((member.generation, where), member.member_id)
                if owner != member.member_id:
                    self.faults.append(f"generation {member.generation} gave {where} to {owner} and to {member.member_id}")

    def check(self):
        assert not self.faults, self.faults[:5]


class LiveMember(threading.Thread):
    def __init__(self, member, partitions, history):
        """Goes on from where the member given stands."""
        super().__init__(daemon=True)
        self.member, self.partitions, self.history = member, partitions, history
        self.finish, self.failure, self.stable, self.beats = threading.Event(), None, False, 0
        self.disturbed = threading.Event()
        self.start()

    def run(self):
        try:
            while not self.finish.is_set():
                try:
                    self.step()
                except (ConnectionClosed, OSError):
                    self.reconnect()
        except Exception:
            self.failure = traceback.format_exc()

    def reconnect(self):
        self.stable = False
        while not self.finish.is_set():
            try:
                return self.member.reconnect()
            except OSError:
                self.finish.wait(0.01)

    def step(self):
        # Who does not know how its last join or sync ended joins again, as clients do.
        if self.member.joined is None or self.member.synced != self.member.generation:
            return self.rejoin()
        if self.disturbed.is_set():
            self.disturbed.clear()
            self.member.leave()
            return self.start_again(UNKNOWN_MEMBER_ID)
        code = self.member.heartbeat()
        self.beats += 1
        self.stable = code == 0 and bool(self.member.owned)
        if code == 0:
            self.finish.wait(0.05)
        else:
            self.start_again(code)
        return None

    def disturb(self):
        """Has the member leave and come back as another, which makes two rebalances."""
        self.disturbed.set()

    def start_again(self, code):
        self.stable, self.member.joined, self.member.owned = False, None, set()
        if code in (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION):
            self.member.generation = -1
            if code != ILLEGAL_GENERATION:
                self.member.member_id = ""
        else:
            assert code == REBALANCE_IN_PROGRESS or code in RETRIABLE, f"an error that no client understands: {code}"

    def rejoin(self):
        reply = self.member.join()
        if reply.error_code != 0:
            return self.start_again(reply.error_code)
        self.history.note_join(self.member)
        assignments = {}
        if self.member.leads and not reply.skip_assignment:
            assignments = round_robin([m.member_id for m in reply.members], self.partitions)
        reply = self.member.sync(assignments)
        if reply.error_code != 0:
            return self.start_again(reply.error_code)
        return self.history.note_assignment(self.member)

    def stop(self):
        self.finish.set()
        self.join(30)
        assert not self.is_alive() and self.failure is None, self.failure
        self.member.close()


def settle(members, partitions, history, timeout=40):
    """Lets the members live until they are one stable generation that has divided the partitions; ends the threads."""
    living = [LiveMember(member, partitions, history) for member in members]

    def settled():
        for one in living:
            assert one.failure is None, one.failure
        owned = [where for m in members for where in m.owned]
        return (all(one.stable for one in living) and len({m.generation for m in members}) == 1
                and sorted(owned) == sorted(partitions))

    try:
        wait_for(settled, lambda: f"one generation of {members}", timeout)
    finally:
        for one in living:
            one.stop()
    history.check()
