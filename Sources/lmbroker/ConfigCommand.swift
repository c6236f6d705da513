import ArgumentParser
import KafkaClient
import KafkaProtocol

struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Show and change the settings of topics and brokers.",
        subcommands: [ConfigDescribe.self, ConfigAlter.self]
    )
}

/// Whose settings they are.
struct ConfigTarget: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("A topic's settings.", valueName: "name"), completion: Completions.topics)
    var topic: String?

    @Option(help: ArgumentHelp("A broker's settings, by its id (`lmbroker cluster` shows it).", valueName: "n"))
    var id: Int32?

    @Flag(help: "The settings that all brokers share.")
    var allBrokers = false

    func validate() throws {
        guard [topic != nil, id != nil, allBrokers].count(where: { $0 }) == 1 else {
            throw ValidationError("Say whose settings: --topic, --id or --all-brokers.")
        }
    }

    var resource: ConfigResource { topic.map { .topic($0) } ?? .broker(id) }
}

struct ConfigDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show settings, their values, and where those come from.",
        discussion: """
              lmbroker config describe --topic orders
              lmbroker config describe --id 1 --defaults

            Settings that nobody has set are left out unless --defaults asks for them.
            """)

    @OptionGroup var target: ConfigTarget
    @OptionGroup var client: ClientOptions

    @Flag(help: "Show settings that nobody has set, too.")
    var defaults = false

    @Flag(help: "Write one line of JSON for each setting.")
    var json = false

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let configs = try await Admin(cluster).describeConfigs(target.resource).filter { defaults || ConfigOrigin($0) != .standard }
            let out = StandardOutput()
            var table = TextTable("SETTING", "VALUE", "FROM", "")
            for config in configs {
                let (origin, note) = (ConfigOrigin(config).rawValue, config.readOnly ? "read only" : "")
                if json {
                    try out.append { write(config, origin, to: &$0) }
                } else {
                    table.add(config.name, config.shownValue, origin, note)
                }
            }
            if !json { for line in table.lines { try out.print(line) } }
            try out.flush()
        }
    }

    private func write(_ config: DescribeConfigsResponse.Config, _ origin: String, to out: inout [UInt8]) {
        out += "{\"name\":".utf8
        JSONText.string(config.name, to: &out)
        out += ",\"value\":".utf8
        JSONText.optional(config.value, to: &out)
        out += ",\"from\":\"\(origin)\",\"read_only\":\(config.readOnly),\"sensitive\":\(config.isSensitive)}\n".utf8
    }
}

extension DescribeConfigsResponse.Config {
    /// For people.
    var shownValue: String { isSensitive ? "(hidden)" : value ?? "(none)" }
}

/// Where a value comes from (KIP-226).
enum ConfigOrigin: String {
    case topic, broker
    case allBrokers = "all brokers"
    case file = "broker's file"
    case standard = "default"

    init(_ config: DescribeConfigsResponse.Config) {
        switch config.configSource {
        case 1: self = .topic
        case 2: self = .broker
        case 3: self = .allBrokers
        case 4: self = .file
        default: self = .standard
        }
    }
}

struct ConfigAlter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alter",
        abstract: "Change settings while the brokers serve.",
        discussion: """
              lmbroker config alter --topic orders --set retention.ms=3600000 --delete max.message.bytes
              lmbroker config alter --all-brokers --set log.retention.check.interval.ms=60000
              lmbroker config alter --topic orders --append cleanup.policy=compact

            All of it happens, or none.
            """)

    @OptionGroup var target: ConfigTarget
    @OptionGroup var client: ClientOptions

    @Option(name: [.short, .long], help: ArgumentHelp("A new value; may be given several times.", valueName: "name=value"))
    var set: [Assignment] = []

    @Option(help: ArgumentHelp("A setting to put back to its default; may be given several times.", valueName: "name"))
    var delete: [String] = []

    @Option(help: ArgumentHelp("A value to add to a list; may be given several times.", valueName: "name=value"))
    var append: [Assignment] = []

    @Option(help: ArgumentHelp("A value to take out of a list; may be given several times.", valueName: "name=value"))
    var subtract: [Assignment] = []

    @Flag(help: "Only ask whether the change would be taken.")
    var validateOnly = false

    func validate() throws {
        let names = changes.map(\.0)
        if names.isEmpty { throw ValidationError("Say what to change: --set, --delete, --append or --subtract.") }
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("\(twice) is to be changed in two ways at once.")
        }
    }

    private var changes: [(String, ConfigChange)] {
        self.set.map { ($0.name, .set($0.value)) } + delete.map { ($0, .delete) } + append.map { ($0.name, .append($0.value)) }
            + subtract.map { ($0.name, .subtract($0.value)) }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            try await Admin(cluster).alterConfigs(target.resource, Dictionary(uniqueKeysWithValues: changes), validateOnly: validateOnly)
        }
    }
}
