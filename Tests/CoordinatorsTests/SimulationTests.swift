import Foundation
import Testing

@Suite struct SimulationTests {
    private static let environment = ProcessInfo.processInfo.environment
    /// One story again, with its trace.
    private static let seed = environment["LMBROKER_SIMULATION_SEED"].flatMap { UInt64($0) }
    /// How many stories.
    private static let seedCount = environment["LMBROKER_SIMULATION_SEEDS"].flatMap { UInt64($0) } ?? 2_000
    private static let shareCount: UInt64 = 8

    /// Members come, go, fall silent and change their minds; messages are lost; the broker is killed and its writes fail.
    @Test(arguments: 0..<shareCount) func aGroupHoldsTogether(share: UInt64) {
        if let seed = Self.seed {
            if share == 0 { Self.play(seed, always: true) }
            return
        }
        for seed in stride(from: share, to: Self.seedCount, by: Int(Self.shareCount)) { Self.play(seed, always: false) }
    }

    private static func play(_ seed: UInt64, always: Bool) {
        guard let violation = SimulationWorld(seed: seed).run() else {
            if always { tell(seed) }
            return
        }
        tell(seed)
        Issue.record("seed \(seed): \(violation)\nreplay: LMBROKER_SIMULATION_SEED=\(seed) swift test --filter SimulationTests")
    }

    private static func tell(_ seed: UInt64) {
        let world = SimulationWorld(seed: seed, isTracing: true)
        _ = world.run()
        print("seed \(seed), as it happened:")
        for line in world.trace.suffix(80) { print("  \(line)") }
    }

    /// The stories are worth telling: they get somewhere, and they differ.
    @Test func storiesAreEventful() {
        let worlds = (0..<40).map { SimulationWorld(seed: $0) }
        for world in worlds { _ = world.run() }
        #expect(worlds.filter { $0.checks.stableCount > 0 }.count > 35)
        #expect(worlds.reduce(0) { $0 + $1.checks.stableCount } > 400)
        #expect(Set(worlds.map(\.checks.stableCount)).count > 10)
    }

    @Test func theSameSeedIsTheSameStory() {
        let traces = (0..<2).map { _ in
            let world = SimulationWorld(seed: 7, isTracing: true)
            _ = world.run()
            return world.trace
        }
        #expect(traces[0] == traces[1] && traces[0].count > 20)
    }
}
