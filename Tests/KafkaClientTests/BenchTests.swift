import ArgumentParser
import Testing

@testable import lmbroker

/// What `lmbroker bench` counts and says, without a broker.
struct BenchTests {
    private let start = ContinuousClock.now

    private func backlog(of rate: Double, offered: Double, seconds: Double) -> BenchBacklog {
        BenchBacklog(of: rate, since: start, offered: offered, from: start + .seconds(1), until: start + .seconds(seconds))
    }

    @Test func whoWasDueAndNotOfferedIsLate() {
        // Due at 0 s, 0.5 s, …, 5 s, of which those before the first second do not count.
        #expect(backlog(of: 2, offered: 11, seconds: 5).count == 0)
        #expect(backlog(of: 2, offered: 4, seconds: 5).count == 7)
        #expect(backlog(of: 2, offered: 0, seconds: 5).count == 9)
        #expect(backlog(of: 2, offered: 0, seconds: 0.5).count == 0)
        #expect(backlog(of: .greatestFiniteMagnitude, offered: 1, seconds: 1e9).count >= 0)
    }

    @Test func whoIsLateHasWaitedUntilTheEnd() {
        let latencies = LatencyRecorder()
        backlog(of: 2, offered: 4, seconds: 5).record(in: latencies)
        #expect(latencies.summary.count == 7)
        // Due at 2 s, 2.5 s, …, 5 s: waits of 3 s and less, to three digits.
        #expect(abs(latencies.summary.maxMs - 3000) < 10)
        #expect(abs(latencies.summary.meanMs - 1500) < 10)
    }

    @Test func ofManyThatAreLateOneInSoManyIsRecorded() {
        for (offered, share) in [(0.0, 1), (0, 17), (999_900, 17)] {
            let late = backlog(of: 1e6, offered: 1e6 + offered, seconds: 2)
            let latencies = LatencyRecorder()
            late.record(in: latencies, oneIn: share)
            #expect(abs(latencies.summary.count - late.count / share) <= 1)
        }
    }

    @Test func theExamplesOfTheHelpAreAccepted() {
        let commands = [BenchCommand.configuration] + BenchCommand.configuration.subcommands.map { $0.configuration }
        let lines = commands.flatMap { $0.discussion.split(separator: "\n") }.filter { $0.hasPrefix("  lmbroker ") }
        let examples = lines.flatMap { $0.split(separator: " && ") }.map { $0.split(separator: " ").dropFirst().map(String.init) }
        #expect(examples.count > 5)
        for example in examples { #expect(throws: Never.self, "\(example)") { _ = try LMBroker.parseAsRoot(example) } }
    }
}
