import NIOCore

/// How long to wait before the next attempt: doubling from `initial` to `maximum`, spread by ±20 % so that clients
/// which failed together do not come back together (KIP-580).
public struct Backoff: Sendable {
    public var initialMs: Int
    public var maximumMs: Int

    public init(initialMs: Int = 100, maximumMs: Int = 1_000) {
        self.initialMs = initialMs
        self.maximumMs = maximumMs
    }

    /// Milliseconds to wait after `attempt` failures (1 for the first), with `jitter` in −0.2…0.2.
    public func delayMs(attempt: Int, jitter: Double) -> Int {
        let doubled = Double(initialMs) * Double(UInt64(1) << UInt64(min(max(attempt - 1, 0), 30)))
        return Int(min(doubled, Double(maximumMs)) * (1 + jitter))
    }

    func delay(attempt: Int) -> TimeAmount {
        .milliseconds(Int64(delayMs(attempt: attempt, jitter: .random(in: -0.2...0.2))))
    }
}
