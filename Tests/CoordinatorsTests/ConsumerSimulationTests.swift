import Foundation
import Testing

/// Stories of groups of the new protocol and of groups that move between the protocols.
@Suite struct ConsumerSimulationTests {
    private static let environment = ProcessInfo.processInfo.environment
    /// One story again, with its trace.
    private static let seed = environment["LMBROKER_SIMULATION_SEED"].flatMap { UInt64($0) }
    /// How many stories.
    private static let seedCount = environment["LMBROKER_SIMULATION_SEEDS"].flatMap { UInt64($0) } ?? 2_000
    private static let shareCount: UInt64 = 8

    /// Members of both protocols come, go, fall silent, are slow and change their minds; topics come, grow and go;
    /// messages are lost; the broker is killed and its writes fail.
    @Test(arguments: 0..<shareCount) func nothingHasTwoOwnersAndEverybodyGetsSomewhere(share: UInt64) {
        if let seed = Self.seed {
            if share == 0 { Self.play(seed, always: true) }
            return
        }
        for seed in stride(from: share, to: Self.seedCount, by: Int(Self.shareCount)) { Self.play(seed, always: false) }
    }

    private static func play(_ seed: UInt64, always: Bool) {
        let violation = ConsumerWorld(seed: seed).run()
        guard always || violation != nil else { return }
        let world = ConsumerWorld(seed: seed, isTracing: true)
        _ = world.run()
        print("seed \(seed), as it happened:")
        for line in world.trace.suffix(120) { print("  \(line)") }
        guard let violation else { return }
        Issue.record("seed \(seed): \(violation)\nreplay: LMBROKER_SIMULATION_SEED=\(seed) swift test --filter ConsumerSimulationTests")
    }

    /// The stories are worth telling: they get somewhere, and they differ.
    @Test func storiesAreEventful() {
        let worlds = (0..<60).map { ConsumerWorld(seed: $0) }
        for world in worlds { _ = world.run() }
        #expect(worlds.filter { $0.assignmentCount > 3 }.count > 40)
        #expect(Set(worlds.map(\.assignmentCount)).count > 15)
        #expect(worlds.filter { $0.migrationCount > 0 }.count > 5)
    }

    @Test func theSameSeedIsTheSameStory() {
        let traces = (0..<2).map { _ in
            let world = ConsumerWorld(seed: 7, isTracing: true)
            _ = world.run()
            return world.trace
        }
        #expect(traces[0] == traces[1] && traces[0].count > 20)
    }
}
