import Foundation
import Testing

@testable import KafkaClient

/// Groups under faults, by seeds. To run a seed again: `GROUP_SEED=n swift test --filter GroupSimulationTests`.
@Suite struct GroupSimulationTests {
    enum Kind: String, CaseIterable {
        case eager, cooperative, consumer

        var settings: GroupSettings {
            var settings = GroupSettings(groupID: "group")
            settings.protocol = self == .consumer ? .consumer : .classic
            settings.assignors = self == .cooperative ? [.cooperativeSticky] : [.range, .roundRobin, .sticky]
            settings.sessionTimeoutMs = 10_000
            settings.heartbeatIntervalMs = 2_000
            settings.maxPollIntervalMs = 20_000
            settings.metadataRefreshMs = 5_000
            return settings
        }
    }

    private static let seeds: [UInt64] =
        ProcessInfo.processInfo.environment["GROUP_SEED"].flatMap(UInt64.init).map { [$0] } ?? Array(0..<300)

    private func live(_ seed: UInt64, _ kind: Kind) -> GroupSimulation {
        let simulation = GroupSimulation(seed: seed, kind.settings)
        simulation.begin()
        simulation.begin(instanceID: "s0")
        simulation.run(for: .random(in: 0...6_000, using: &simulation.chance))
        for _ in 0..<12 {
            disturb(simulation)
            simulation.run(for: .random(in: 100...15_000, using: &simulation.chance))
        }
        simulation.hasFaults = false
        if !simulation.members.contains(where: \.isAlive) { simulation.begin() }
        for member in simulation.members where member.isAlive { simulation.tell(member, .polling(true)) }
        return simulation
    }

    private func disturb(_ simulation: GroupSimulation) {
        let alive = simulation.members.filter(\.isAlive)
        let victim = alive.randomElement(using: &simulation.chance)
        switch Int.random(in: 0..<9, using: &simulation.chance) {
        case 0, 1:
            if alive.count < 6 { simulation.begin() }
        case 2:
            // One of each instance id at a time: two would fence each other.
            let free = ["s0", "s1"].first { name in !alive.contains { $0.name == name } }
            if let free { simulation.begin(instanceID: free) }
        case 3: if let victim { simulation.kill(victim) }
        case 4:
            if let victim {
                simulation.kill(victim)
                // A static member comes back at once, as after a crash of its process.
                if victim.name.hasPrefix("s") { simulation.begin(instanceID: victim.name) }
            }
        case 5: if let victim { simulation.tell(victim, .leave) }
        case 6: simulation.restart()
        case 7: simulation.topics.grow(["a", "b"].randomElement(using: &simulation.chance) ?? "a")
        default:
            if let victim {
                simulation.tell(victim, .polling(false))
                simulation.after(.random(in: 1_000...40_000, using: &simulation.chance)) { $0.tell(victim, .polling(true)) }
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func eachPartitionHasOneReaderAndEveryGroupSettles(kind: Kind) {
        for seed in Self.seeds {
            let simulation = live(seed, kind)
            var patience = 60
            while !simulation.isSettled, patience > 0 {
                simulation.run(for: 5_000)
                patience -= 1
            }
            let replay = "GROUP_SEED=\(seed) swift test --filter GroupSimulationTests (\(kind))"
            #expect(simulation.violations.isEmpty, "\(replay): \(simulation.violations.first ?? "")\n\(simulation.state)")
            #expect(simulation.isSettled, "\(replay): not settled\n\(simulation.state)")
            let failures = simulation.members.compactMap(\.failure)
            #expect(failures.isEmpty, "\(replay): \(failures)\n\(simulation.state)")
            if !simulation.violations.isEmpty || !simulation.isSettled || !failures.isEmpty { return }
        }
    }

    /// A settled group hears nothing of a broker that is gone for a moment.
    @Test(arguments: Kind.allCases)
    func aRestartOfTheBrokerMovesNothing(kind: Kind) {
        for seed in Self.seeds.prefix(50) {
            let simulation = GroupSimulation(seed: seed, kind.settings)
            simulation.hasFaults = false
            for _ in 0..<4 { simulation.begin() }
            simulation.run(for: 90_000)
            #expect(simulation.isSettled, "seed \(seed)\n\(simulation.state)")
            let before = simulation.members.map { ($0.membership.identity.generation, $0.reads) }
            simulation.log = []
            simulation.restart()
            simulation.run(for: 60_000)
            #expect(simulation.isSettled, "seed \(seed)")
            #expect(simulation.log.count == 1, "seed \(seed): \(simulation.log)")
            for (member, before) in zip(simulation.members, before) {
                #expect(member.membership.identity.generation == before.0 && member.reads == before.1, "seed \(seed)")
            }
        }
    }
}
