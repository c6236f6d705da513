import ArgumentParser
import Glibc
import KafkaClient

/// The time of one run: warm-up, then what counts, or less where it is interrupted.
struct BenchRun {
    let begin: ContinuousClock.Instant
    let end: ContinuousClock.Instant

    init(_ time: BenchTimeOptions) {
        begin = .now + .seconds(time.warmUp)
        end = begin + .seconds(time.seconds)
    }

    /// Returns what each meter counted when the warm-up was over and at the end, which comes early where `isOver` says so.
    func measure(_ meters: [BenchMeter], isOver: () -> Bool) async -> [(begin: BenchMeter.Mark, end: BenchMeter.Mark)] {
        await wait(until: begin, isOver)
        let begins = meters.map(\.now)
        await wait(until: end, isOver)
        return zip(begins, meters.map(\.now)).map { ($0, $1) }
    }

    private func wait(until moment: ContinuousClock.Instant, _ isOver: () -> Bool) async {
        while ContinuousClock.now < moment, !isOver() {
            try? await Task.sleep(until: min(moment, .now + .milliseconds(100)), tolerance: .zero)
        }
    }
}

/// How a benchmark tells what it found.
struct BenchOutputOptions: ParsableArguments {
    @Flag(help: "Print one JSON object.")
    var json = false

    @Option(help: ArgumentHelp("Write the latencies there, as HdrHistogram's tools plot them.", valueName: "file"))
    var histogram: String?

    func write(_ latencies: LatencyRecorder) throws {
        guard let histogram else { return }
        let file = fopen(histogram, "we")
        let isWritten = file.map { fputs(latencies.distribution, $0) >= 0 } ?? false
        let isClosed = file.map { fclose($0) == 0 } ?? false
        guard isWritten, isClosed else { throw complaint("\(StreamError("the histogram cannot be written to \(histogram)"))") }
    }
}

/// Tells what was found, then what failed, and ends with status 1 where anything did.
func concludeBench(
    _ report: BenchReport, _ failure: ClientError?, _ interruption: Interruption, json: Bool, alsoWriting write: () throws -> Void = {}
) throws {
    report.print(json: json)
    try write()
    if report.failed > 0 {
        throw complaint("\(Figures.count(report.failed)) records were not delivered" + (failure.map { ": \($0)" } ?? ""))
    }
    if let unread = report.unread, unread > 0 { throw complaint("\(Figures.count(unread)) records were delivered and not read") }
    if interruption.wasInterrupted { throw Outcome.interrupted }
}
