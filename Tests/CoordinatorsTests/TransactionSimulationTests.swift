import Foundation
import Testing

@testable import Coordinators

@Suite struct TransactionSimulationTests {
    private static func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

    /// `LMBROKER_SIMULATION_SEEDS` runs that many, `LMBROKER_SIMULATION_SEED` replays one and says what happened in it.
    @Test func everyTransactionEndsOnceAndWholeOverManySeeds() {
        if let seed = Self.number("LMBROKER_SIMULATION_SEED") { return replay(seed) }
        let count = Self.number("LMBROKER_SIMULATION_SEEDS") ?? 2_500
        let workers = 2
        let results = Results()
        DispatchQueue.concurrentPerform(iterations: workers) { worker in
            for seed in stride(from: UInt64(worker) + 1, through: count, by: workers) {
                let simulation = TransactionSimulation(seed: seed)
                simulation.run(steps: 1_000)
                results.add(seed, simulation)
                if results.hasFailed { return }
            }
        }
        for (seed, problems) in results.problems {
            Issue.record("seed \(seed): \(problems.prefix(3).joined(separator: "\n"))\nreplay: LMBROKER_SIMULATION_SEED=\(seed) swift test --filter TransactionSimulationTests")
        }
        // A simulation in which nothing succeeds, or nothing goes wrong, proves nothing.
        if results.problems.isEmpty {
            #expect(results.committed > count)
            #expect(results.aborted > count / 2)
            #expect(results.fenced > count / 4)
        }
    }

    private func replay(_ seed: UInt64) {
        let simulation = TransactionSimulation(seed: seed, isTracing: true)
        simulation.run(steps: 1_000)
        for line in simulation.trace ?? [] { print(line) }
        #expect(simulation.problems == [], "seed \(seed)")
    }

    /// What the workers found.
    private final class Results: @unchecked Sendable {
        private let lock = NSLock()
        // Under the lock while the workers run, read when they are done.
        private(set) var problems: [(UInt64, [String])] = []
        private(set) var committed: UInt64 = 0, aborted: UInt64 = 0, fenced: UInt64 = 0

        var hasFailed: Bool { lock.withLock { !problems.isEmpty } }

        func add(_ seed: UInt64, _ simulation: TransactionSimulation) {
            lock.withLock {
                if !simulation.problems.isEmpty { problems.append((seed, simulation.problems)) }
                committed += UInt64(simulation.committed)
                aborted += UInt64(simulation.aborted)
                fenced += UInt64(simulation.fenced)
            }
        }
    }
}
