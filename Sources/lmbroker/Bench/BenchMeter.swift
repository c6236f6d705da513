import Synchronization

/// Counts what comes through, from any thread, and how fast that is once the warm-up is over.
final class BenchMeter: Sendable {
    /// What was counted at a moment.
    struct Mark: Sendable {
        var time = ContinuousClock.now
        var records = 0
        var bytes = 0

        /// Records and bytes a second since `earlier`.
        func rates(since earlier: Mark) -> (recordsPerSecond: Double, bytesPerSecond: Double) {
            let seconds = max((time - earlier.time) / .seconds(1), 0.000_001)
            return (Double(records - earlier.records) / seconds, Double(bytes - earlier.bytes) / seconds)
        }
    }

    private let records = Atomic(0)
    private let bytes = Atomic(0)

    func add(records count: Int, bytes byteCount: Int) {
        records.add(count, ordering: .relaxed)
        bytes.add(byteCount, ordering: .relaxed)
    }

    var now: Mark { Mark(records: records.load(ordering: .relaxed), bytes: bytes.load(ordering: .relaxed)) }
}

/// A line on standard error, twice a second, of how fast a meter runs.
struct BenchTicker {
    private let line: StatusLine
    private let meter: BenchMeter
    private let task: Task<Void, Never>

    init(_ meter: BenchMeter, isWanted: Bool) {
        self.meter = meter
        let line = StatusLine(isWanted: isWanted)
        self.line = line
        task = Task {
            let start = meter.now
            var last = start
            while (try? await Task.sleep(for: .milliseconds(500))) != nil {
                let now = meter.now
                let (records, bytes) = now.rates(since: last)
                let elapsed = Int((now.time - start.time) / .seconds(1))
                line.show("\(elapsed) s: \(Figures.count(Int(records))) records/s, \(Figures.bytes(bytes))/s")
                last = now
            }
        }
    }

    func stop() async {
        task.cancel()
        await task.value
        line.clear()
    }
}
