/// One configuration key of the broker, described once: parsing, the commented properties file, DescribeConfigs and the
/// validation of alter requests all come from the table of these (`BrokerKeys.all`).
public struct ConfigurationKey: Sendable {
    /// When a new value takes effect.
    public enum Scope: Sendable {
        /// At the next start: from the file or `--set` only.
        case readOnly
        /// At once: a client may alter it for this broker or as the default of all (KIP-226).
        case dynamic
    }

    /// Under what heading of the properties file the key stands.
    public enum Section: String, Sendable, CaseIterable {
        case identity = "Identity and addresses"
        case topics = "Topics"
        case records = "Records and retention: defaults for topics that set no value of their own"
        case groups = "Consumer groups and committed offsets"
        case transactions = "Transactions"
        case requests = "Requests, connections and memory"
        case store = "The store"
        case logging = "Logging"
    }

    public let name: String
    public let section: Section
    public let type: ConfigurationType
    /// nil: without a value of its own (the documentation says what then holds).
    public let defaultValue: String?
    public let scope: Scope
    public let documentation: String
    /// Other names for the same key, which Kafka also takes.
    public let aliases: [String]
    /// The topic config this key is the default of.
    public let topicName: String?
    /// Keys asked next when this one has no value, with what their value is multiplied by (log.retention.hours …).
    public let fallbacks: [Fallback]

    public struct Fallback: Sendable {
        public let name: String
        public let factor: Int64
    }

    init(
        _ name: String, _ section: Section, _ type: ConfigurationType, default defaultValue: String? = nil, _ scope: Scope = .readOnly,
        aliases: [String] = [], topic topicName: String? = nil, fallbacks: [Fallback] = [], about documentation: String
    ) {
        self.name = name
        self.section = section
        self.type = type
        self.defaultValue = defaultValue
        self.scope = scope
        self.aliases = aliases
        self.topicName = topicName
        self.fallbacks = fallbacks
        self.documentation = documentation
    }
}
