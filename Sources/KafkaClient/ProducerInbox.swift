import NIOCore
import Synchronization

/// Where the threads that produce and the event loop that sends meet: closed batches, and the bytes that are
/// taken in and not delivered.
final class ProducerInbox: Sendable {
    private struct State {
        var closed: [ProducerBatch] = []
        var isPumpDue = false
        var isClosed = false
        var waiters: [Waiter] = []
    }

    private struct Waiter {
        /// Of the record that there was no room for.
        var byteCount: Int
        var continuation: CheckedContinuation<Void, Never>
    }

    private let state = Mutex(State())
    private let bufferedByteCount = Atomic(0)
    /// Of the record that there was no room for last.
    private let wantedByteCount = Atomic(0)
    private let byteCountMax: Int

    init(byteCountMax: Int) { self.byteCountMax = byteCountMax }

    // MARK: Batches

    /// Hands over a closed batch. True when the event loop must be told, false when it has been.
    func put(_ batch: ProducerBatch) -> Bool {
        state.withLock { state in
            state.closed.append(batch)
            defer { state.isPumpDue = true }
            return !state.isPumpDue
        }
    }

    func takeClosed() -> [ProducerBatch] {
        state.withLock { state in
            state.isPumpDue = false
            defer { state.closed = [] }
            return state.closed
        }
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// No more records are taken; whoever waits for room learns it from the next attempt.
    func close() {
        let waiters = state.withLock { state in
            state.isClosed = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    // MARK: Room

    /// Counts a record in, unless that would be too much. A record larger than the whole buffer is let into an empty one.
    func reserve(_ byteCount: Int) -> Bool {
        var buffered = bufferedByteCount.load(ordering: .relaxed)
        // Never counted in and out again: a release in between would wake nobody.
        while buffered == 0 || buffered + byteCount <= byteCountMax {
            let (isTaken, seen) = bufferedByteCount.weakCompareExchange(expected: buffered, desired: buffered + byteCount, ordering: .relaxed)
            if isTaken { return true }
            buffered = seen
        }
        wantedByteCount.store(byteCount, ordering: .relaxed)
        return false
    }

    /// Whether it is worth trying again: a quarter is free, and the record would have room.
    private func isRoomy(_ buffered: Int, for byteCount: Int) -> Bool {
        buffered == 0 || buffered <= min(byteCountMax / 4 * 3, byteCountMax - byteCount)
    }

    /// Counts a batch out, and lets those who wait for room try again when there may be some.
    func release(_ byteCount: Int) {
        let after = bufferedByteCount.subtract(byteCount, ordering: .sequentiallyConsistent).newValue
        // Not even for the smallest.
        guard isRoomy(after, for: 0) else { return }
        let waiters = state.withLock { state in
            let waiters = state.waiters
            state.waiters = waiters.filter { !isRoomy(after, for: $0.byteCount) }
            return waiters.filter { isRoomy(after, for: $0.byteCount) }
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    /// Returns when there may be room for a record of so many bytes, or else for the one that there was none for last.
    func room(for byteCount: Int? = nil) async {
        let byteCount = byteCount ?? wantedByteCount.load(ordering: .relaxed)
        await withCheckedContinuation { continuation in
            let isWaiting = state.withLock { state in
                // Looked at under the lock: a release that came before is seen here, one that comes after sees the waiter.
                guard !state.isClosed, !isRoomy(bufferedByteCount.load(ordering: .sequentiallyConsistent), for: byteCount) else { return false }
                state.waiters.append(Waiter(byteCount: byteCount, continuation: continuation))
                return true
            }
            if !isWaiting { continuation.resume() }
        }
    }
}

/// Batches that the event loop has taken in and not finished, told apart by the flushes that wait for them.
struct OutstandingBatches {
    private var generation = 0
    private var counts: [Int: Int] = [:]
    private var generations: [ObjectIdentifier: Int] = [:]
    private var waiters: [(generation: Int, promise: EventLoopPromise<Void>)] = []
    /// When to look next for what has waited too long.
    var nextExpiryCheck = NIODeadline.now()

    var isEmpty: Bool { generations.isEmpty }

    mutating func add(_ batch: ProducerBatch) {
        generations[ObjectIdentifier(batch)] = generation
        counts[generation, default: 0] += 1
    }

    mutating func remove(_ batch: ProducerBatch) {
        guard let generation = generations.removeValue(forKey: ObjectIdentifier(batch)), let count = counts[generation] else { return }
        counts[generation] = count == 1 ? nil : count - 1
        guard count == 1, !waiters.isEmpty else { return }
        let earliest = counts.keys.min() ?? .max
        let done = waiters.prefix { $0.generation < earliest }
        waiters.removeFirst(done.count)
        for waiter in done { waiter.promise.succeed() }
    }

    /// The halves are waited for in the batch's place.
    mutating func replace(_ batch: ProducerBatch, with halves: [ProducerBatch]) {
        guard let generation = generations.removeValue(forKey: ObjectIdentifier(batch)) else { return }
        for half in halves { generations[ObjectIdentifier(half)] = generation }
        counts[generation, default: 0] += halves.count - 1
    }

    /// Fulfils `promise` when all that is outstanding now is finished.
    mutating func wait(_ promise: EventLoopPromise<Void>) {
        if isEmpty { return promise.succeed() }
        waiters.append((generation, promise))
        generation += 1
    }
}
