internal import Dispatch

/// A thread that submits one thing and waits for it. Never the committer's own, nor an event loop.
final class WaitingCaller<Outcome>: Lane, @unchecked Sendable {
    // Unchecked: the outcome is written before the semaphore is signalled, and read after.
    private var outcome: Outcome?
    private let done = DispatchSemaphore(value: 0)

    var isWatching: Bool { false }
    func deliver(_ finished: [Submission], changed: [PartitionID]) { for submission in finished { submission.finish() } }

    func answer(_ outcome: Outcome) {
        self.outcome = outcome
        done.signal()
    }

    func wait() -> Outcome {
        done.wait()
        guard let outcome else { preconditionFailure("a submission is answered before its caller goes on") }
        return outcome
    }
}

extension Store {
    /// Blocks until the replacement is on disk; returns why it is not made.
    func replace(_ replacement: ExtentReplacement) -> StoreError? {
        let waiting = WaitingCaller<StoreError?>()
        submit([.replacement(replacement, lane: waiting) { waiting.answer($0) }])
        return waiting.wait()
    }

    /// Blocks until the operation is done.
    func performBlocking(_ operation: AdminOperation) -> AdminOutcome {
        let waiting = WaitingCaller<AdminOutcome>()
        submit([.admin(operation, lane: waiting) { waiting.answer($0) }])
        return waiting.wait()
    }
}
