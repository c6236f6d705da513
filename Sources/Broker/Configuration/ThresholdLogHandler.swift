public import Logging

/// Passes on the lines that are as severe as `lmbroker.log.level` asks for at that moment: a client may alter it while
/// the broker runs.
public struct ThresholdLogHandler: LogHandler {
    private var base: any LogHandler
    private let configuration: LiveConfiguration

    /// - Parameter base: writes the lines, whatever their level.
    public init(_ base: any LogHandler, _ configuration: LiveConfiguration) {
        self.base = base
        self.configuration = configuration
    }

    /// The configuration's; setting it has no effect.
    public var logLevel: Logger.Level {
        get { configuration.logLevel }
        set {}
    }

    public var metadata: Logger.Metadata {
        get { base.metadata }
        set { base.metadata = newValue }
    }

    public var metadataProvider: Logger.MetadataProvider? {
        get { base.metadataProvider }
        set { base.metadataProvider = newValue }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { base[metadataKey: key] }
        set { base[metadataKey: key] = newValue }
    }

    public func log(event: LogEvent) { base.log(event: event) }
}
