public import Logging
internal import Synchronization

/// The configuration in force. It changes when a client alters a dynamic value; who acts on one reads `current` when it needs it.
public final class LiveConfiguration: Sendable {
    private let configuration: Mutex<BrokerConfiguration>
    /// Index into `Logger.Level.allCases`.
    private let threshold: Atomic<Int>

    public init(_ configuration: BrokerConfiguration) {
        threshold = Atomic(Self.index(of: configuration.logLevel))
        self.configuration = Mutex(configuration)
    }

    /// `lmbroker.log.level`, for those who look at it with every line.
    public var logLevel: Logger.Level { Logger.Level.allCases[threshold.load(ordering: .relaxed)] }

    public var current: BrokerConfiguration { configuration.withLock { $0 } }

    /// Lays the dynamic values that the store keeps (`Store.brokerConfigs()`) over those given at the start. Values that
    /// this broker cannot use, say of an older version, are passed over and returned as sentences for the log.
    @discardableResult
    public func apply(dynamic stored: [String: String]) -> [String] {
        configuration.withLock { configuration in
            var complaints: [String] = []
            let usable = stored.filter { entry in
                let name = entry.key.split(separator: "/").last.map(String.init) ?? entry.key
                guard let key = BrokerKeys.named[name] ?? KeptKeys.named[name], key.scope == .dynamic, key.type.accepts(entry.value) else {
                    complaints.append(
                        "The stored broker config \(entry.key)=\(entry.value) is not one this version can use; it is ignored.")
                    return false
                }
                return true
            }
            var layers = configuration.layers
            layers.setDynamic(usable)
            do throws(ConfigurationError) {
                configuration = try BrokerConfiguration(layers)
            } catch {
                complaints.append("The stored broker configs are ignored: \(error.message)")
            }
            threshold.store(Self.index(of: configuration.logLevel), ordering: .relaxed)
            return complaints
        }
    }

    private static func index(of level: String) -> Int {
        Logger.Level.allCases.firstIndex { $0.rawValue == level } ?? Logger.Level.allCases.firstIndex(of: .info) ?? 0
    }
}
