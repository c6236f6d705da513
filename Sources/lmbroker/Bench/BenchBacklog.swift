/// Records that were due in a run by the clock and not offered by its end, since those before them were not taken fast enough. Without
/// them the percentiles of who is too slow would be of those alone who came early.
struct BenchBacklog: Sendable {
    let count: Int
    /// How long the first of them has waited at the end, in seconds; those behind it less and less.
    private let longestWait: Double
    private let rate: Double

    /// No run offers more.
    private static let countMax = 1e15

    /// - Parameters:
    ///   - rate: Records a second, the first of them due at `start`.
    ///   - offered: How many of them were offered.
    ///   - begin: Those that were due before it do not count.
    init(
        of rate: Double, since start: ContinuousClock.Instant, offered: Double, from begin: ContinuousClock.Instant,
        until end: ContinuousClock.Instant
    ) {
        self.rate = rate
        let (uncounted, seconds) = ((begin - start) / .seconds(1), (end - start) / .seconds(1))
        let first = max(offered, (uncounted * rate).rounded(.up))
        let last = (seconds * rate).rounded(.down)
        count = last >= first ? Int(min(last - first + 1, Self.countMax)) : 0
        longestWait = seconds - first / rate
    }

    /// More waits between the longest and none would not be told apart.
    private static let stepsMax = 100_000

    /// Adds the waits of one in `share` of them.
    func record(in latencies: LatencyRecorder, oneIn share: Int = 1) {
        let step = max(count / share / Self.stepsMax, 1) * share
        for number in stride(from: 0, to: count, by: step) {
            latencies.record(.seconds(longestWait - Double(number) / rate), count: max(min(step, count - number) / share, 1))
        }
    }
}
