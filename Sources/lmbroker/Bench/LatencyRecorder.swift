import Histogram
import Synchronization

/// Waits, in microseconds, to three digits (HdrHistogram), from any thread.
final class LatencyRecorder: Sendable {
    /// Nothing that is waited for longer is told apart: an hour.
    private static let longestUs: UInt64 = 3_600_000_000

    private let histogram = Mutex(Histogram<UInt64>(highestTrackableValue: longestUs, numberOfSignificantValueDigits: .three))

    func record(_ wait: Duration, count: Int = 1) {
        let microseconds = wait / .microseconds(1)
        histogram.withLock { _ = $0.record(UInt64(min(max(microseconds, 1), Double(Self.longestUs))), count: UInt64(count)) }
    }

    var summary: LatencySummary {
        histogram.withLock { histogram in
            LatencySummary(
                count: Int(histogram.totalCount),
                percentiles: LatencySummary.levels.map { ($0.name, Double(histogram.valueAtPercentile($0.percent)) / 1000) },
                maxMs: Double(histogram.max) / 1000, meanMs: histogram.totalCount == 0 ? 0 : histogram.mean / 1000)
        }
    }

    /// All of it as HdrHistogram's own tools write and plot it, in milliseconds.
    var distribution: String {
        var text = ""
        histogram.withLock { $0.outputPercentileDistribution(to: &text, outputValueUnitScalingRatio: 1000, percentileTicksPerHalfDistance: 5) }
        return text
    }
}

/// What is told of many waits.
struct LatencySummary: Sendable {
    static let levels: [(name: String, percent: Double)] = [
        ("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99), ("p99.9", 99.9), ("p99.99", 99.99),
    ]

    var count: Int
    /// In milliseconds.
    var percentiles: [(name: String, ms: Double)]
    var maxMs: Double
    var meanMs: Double
}
