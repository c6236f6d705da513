import ArgumentParser
import KafkaClient
import KafkaProtocol

struct TopicCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topic",
        abstract: "Create, list, describe, alter and delete topics.",
        subcommands: [TopicCreate.self, TopicList.self, TopicDescribe.self, TopicAlter.self, TopicDelete.self]
    )
}

struct TopicCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Create a topic.",
        discussion: "  lmbroker topic create orders --partitions 16 --config retention.ms=86400000"
    )

    @Argument(help: "The topic's name: letters, digits, '.', '_' and '-', at most 249.")
    var name: String

    @OptionGroup var client: ClientOptions

    @Option(name: [.short, .long], help: ArgumentHelp("Number of partitions; the broker's default if left out.", valueName: "n"))
    var partitions: Int32?

    @Option(help: ArgumentHelp("Number of copies; the broker's default if left out.", valueName: "n"))
    var replicationFactor: Int16?

    @Option(name: [.short, .long], help: ArgumentHelp("A setting; may be given several times.", valueName: "name=value"))
    var config: [Assignment] = []

    @Flag(help: "Succeed when the topic is there already, whatever it is like.")
    var ifNotExists = false

    func validate() throws {
        if let partitions, partitions < 1 { throw ValidationError("A topic has one partition at least.") }
        if let replicationFactor, replicationFactor < 1 { throw ValidationError("A topic has one copy at least.") }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let configs = Dictionary(config.map { ($0.name, $0.value) }) { $1 }
            do {
                try await Admin(cluster).createTopic(name, partitions: partitions, replicationFactor: replicationFactor, configs: configs)
            } catch {
                guard ifNotExists, (error as? ClientError)?.code == .topicAlreadyExists else { throw error }
            }
        }
    }
}

struct TopicDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete topics and all their records. There is no way back but a backup.")

    @Argument(help: "The topics' names.", completion: Completions.topics)
    var names: [String]

    @OptionGroup var client: ClientOptions

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            try await Outcome.each(names) { try await Admin(cluster).deleteTopic($0) }
        }
    }
}

struct TopicAlter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alter",
        abstract: "Change a topic's settings, or give it more partitions.",
        discussion: """
              lmbroker topic alter orders --config retention.ms=3600000 --delete-config max.message.bytes
              lmbroker topic alter orders --partitions 32

            Partitions cannot be taken away. With more of them, the same key may go to another one than before.
            """
    )

    @Argument(help: "The topic's name.", completion: Completions.topics)
    var name: String

    @OptionGroup var client: ClientOptions

    @Option(name: [.short, .long], help: ArgumentHelp("The new number of partitions, in all.", valueName: "n"))
    var partitions: Int32?

    @Option(name: [.short, .long], help: ArgumentHelp("A setting; may be given several times.", valueName: "name=value"))
    var config: [Assignment] = []

    @Option(help: ArgumentHelp("A setting to put back to the broker's default; may be given several times.", valueName: "name"))
    var deleteConfig: [String] = []

    func validate() throws {
        if partitions == nil, config.isEmpty, deleteConfig.isEmpty {
            throw ValidationError("Say what to change: --partitions, --config or --delete-config.")
        }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            var changes = Dictionary(deleteConfig.map { ($0, ConfigChange.delete) }) { $1 }
            for setting in config { changes[setting.name] = .set(setting.value) }
            let admin = Admin(cluster)
            // Nothing is changed where one of the two would be refused.
            if let partitions { try await admin.createPartitions(of: name, total: partitions, validateOnly: true) }
            if !changes.isEmpty { try await admin.alterConfigs(.topic(name), changes) }
            if let partitions { try await admin.createPartitions(of: name, total: partitions) }
        }
    }
}
