internal import NIOCore

/// The one timer of a coordinator, for the soonest of its deadlines; guarded by the lock of whoever holds the coordinator.
struct DeadlineAlarm {
    /// When it goes off, in monotonic ms; nil when it is not set.
    private var setForMs: Int64?

    /// The deadline to schedule a timer for; nil where one goes off before it anyway, or where there is no deadline.
    mutating func set(for deadlineMs: Int64?) -> Int64? {
        guard let deadlineMs else { return nil }
        if let setForMs, setForMs <= deadlineMs { return nil }
        setForMs = deadlineMs
        return deadlineMs
    }

    /// The timer for `deadlineMs` has run out. False where an earlier one was set after it, which is the one that counts.
    mutating func goOff(at deadlineMs: Int64) -> Bool {
        guard setForMs == deadlineMs else { return false }
        setForMs = nil
        return true
    }
}

extension LoopLane {
    /// Runs `body` on the loop at `deadlineMs` of the monotonic clock.
    func schedule(atMs deadlineMs: Int64, _ body: @escaping @Sendable () -> Void) {
        loop.scheduleTask(deadline: .uptimeNanoseconds(UInt64(max(deadlineMs, 0)) * 1_000_000), body)
    }
}
