internal import Synchronization

/// Bytes that may be under way at once, counted by all event loops.
final class ByteBudget: Sendable {
    let limit: Int
    private let used = Atomic(0)
    /// Called when use falls from above the limit to within it, on the thread that gave back.
    private let onRelief: @Sendable () -> Void

    init(limit: Int, onRelief: @escaping @Sendable () -> Void = {}) {
        self.limit = limit
        self.onRelief = onRelief
    }

    /// True while nothing more should be begun. What is begun is counted even so.
    var isExhausted: Bool { used.load(ordering: .sequentiallyConsistent) > limit }

    var usedBytes: Int { used.load(ordering: .relaxed) }

    func take(_ count: Int) { used.add(count, ordering: .sequentiallyConsistent) }

    /// As much of `wanted` as there is room for, but `least` even if there is none.
    func admit(_ wanted: Int, least: Int) -> Int {
        let granted = min(wanted, max(limit - usedBytes, least))
        take(granted)
        return granted
    }

    func giveBack(_ count: Int) {
        guard count > 0 else { return }
        let (before, after) = used.subtract(count, ordering: .sequentiallyConsistent)
        if before > limit, after <= limit { onRelief() }
    }
}
