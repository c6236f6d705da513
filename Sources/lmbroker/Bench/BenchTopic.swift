import ArgumentParser
import KafkaClient

/// Where a benchmark writes to or reads from.
struct BenchTopicOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The topic; without it, one is made for the run and deleted after it.", valueName: "name"))
    var topic: String?

    @Option(name: [.short, .long], help: ArgumentHelp("Partitions of a topic that is made.", valueName: "n"))
    var partitions: Int32 = 16

    func validate() throws {
        if partitions < 1 { throw ValidationError("A topic has one partition at least.") }
    }

    /// Runs `body` with the topic's name; the topic is there meanwhile, and a nameless one is gone afterwards, whatever happens.
    func run(on cluster: Cluster, _ body: (String) async throws -> Void) async throws {
        let admin = Admin(cluster)
        let name = topic ?? "lmbroker-bench-\(UInt32.random(in: .min ... .max))"
        if try await admin.topic(name) == nil { try await admin.createTopic(name, partitions: partitions) }
        do { try await body(name) } catch {
            if topic == nil { try? await admin.deleteTopic(name) }
            throw error
        }
        if topic == nil { try await admin.deleteTopic(name) }
    }
}

extension ClusterMetadata.Topic {
    /// The same place in each partition. One that a broker lists twice is one.
    func places(_ place: PartitionPlace) -> [TopicPartition: PartitionPlace] {
        Dictionary(partitions.map { (TopicPartition(name, $0.index), place) }) { $1 }
    }
}

/// How long a benchmark runs.
struct BenchTimeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How long to measure.", valueName: "s"))
    var seconds = 10.0

    @Option(help: ArgumentHelp("How long to run before that, uncounted.", valueName: "s"))
    var warmUp = 2.0

    /// Thirty years: more would not fit into a clock.
    private static let secondsMax = 1e9

    func validate() throws {
        guard seconds > 0, seconds <= Self.secondsMax, (0...Self.secondsMax).contains(warmUp) else {
            throw ValidationError("--seconds and --warm-up count seconds, a thousand million at most.")
        }
    }
}
