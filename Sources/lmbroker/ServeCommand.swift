import ArgumentParser
import Broker
import Glibc
import Logging
import Store

/// `lmbroker serve`: the broker itself.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Start a broker (what lmbroker does when no command is named).",
        discussion: """
            Everything is kept in one LMDB environment, the data directory; it is made if it is not there. \
            Settings come from the properties file, then --set, then --listen and --data; \
            config/lmbroker.properties lists them all.

              lmbroker                                      127.0.0.1:9092, data in ./data
              lmbroker serve --config /etc/lmbroker.properties --data /var/lib/lmbroker
              lmbroker serve --listen 0.0.0.0:9092 --set advertised.listeners=PLAINTEXT://broker.example:9092

            SIGTERM and SIGINT end it in order: what is in flight is finished, everything is sealed and synced, \
            exit status 0. SIGUSR1 makes a hot copy under lmbroker.backup.dir.
            """)

    @Option(name: .customLong("config"), help: ArgumentHelp("A properties file, with Kafka's names.", valueName: "file"), completion: .file())
    var file: String?

    @Option(help: ArgumentHelp("The data directory (./data unless the properties say log.dirs).", valueName: "directory"), completion: .directory)
    var data: String?

    @Option(help: ArgumentHelp("Where to listen, instead of the listeners of the properties.", valueName: "host:port"))
    var listen: String?

    @Option(name: .customLong("set"), parsing: .singleValue, help: ArgumentHelp("A setting; may be given again.", valueName: "name=value"))
    var settings: [String] = []

    mutating func run() async throws {
        let configuration = try read()
        let live = LiveConfiguration(configuration)
        bootstrapLogging(live)
        let logger = Logger(label: "lmbroker")
        for warning in configuration.layers.warnings { logger.warning("\(warning)") }
        raiseFileLimit(logger)
        let trimming = Task.detached { await Heap.keepTrimmed() }
        defer { trimming.cancel() }
        let signals = Signals()
        let store: Store
        do {
            store = try Store.open(directory: configuration.dataDirectory, options: storeOptions(configuration, logger))
        } catch {
            logger.critical("\(error)")
            throw ExitCode(1)
        }
        logger.info("lmbroker \(LMBroker.version), store in \(configuration.dataDirectory), cluster \(store.clusterID), \(store.topics().count) topics")
        let server: BrokerServer
        do {
            server = try await BrokerServer.start(configuration: live, store: store, logger: logger)
        } catch {
            logger.critical("\(error)")
            store.close()
            throw ExitCode(1)
        }
        await serve(until: signals, store, live, logger)
        logger.info("stopping: finishing what is in flight")
        await server.stop()
        store.close()
        if case .stopped(let reason) = store.state {
            logger.critical("stopped, but not everything could be sealed: \(reason)")
            throw ExitCode(1)
        }
        logger.info("stopped; everything is sealed and synced")
    }

    func validate() throws {
        if let listen, Listener.hostAndPort(listen) == nil {
            throw ValidationError("--listen: '\(listen)' is not HOST:PORT, as 127.0.0.1:9092; for several, or with a name, use --set listeners=NAME://HOST:PORT.")
        }
    }

    private func read() throws -> BrokerConfiguration {
        do throws(ConfigurationError) {
            var layers = ConfigurationLayers()
            if let file { try layers.read(file: file) }
            for setting in settings { try layers.set(setting) }
            if let listen { try layers.set("listeners", "PLAINTEXT://\(listen)", origin: "--listen") }
            if let data { try layers.set("log.dirs", data, origin: "--data") }
            return try BrokerConfiguration(layers)
        } catch {
            throw ValidationError(error.message)
        }
    }

    private func storeOptions(_ configuration: BrokerConfiguration, _ logger: Logger) -> StoreOptions {
        var options = StoreOptions()
        options.maxBytes = configuration.storeBytesMax
        options.readerWarningMs = configuration.readerWarningMs
        options.journalBytesMax = configuration.journalBytesMax
        options.producerExpirationMs = configuration.producerExpirationMs
        options.producersMax = configuration.producersMax
        options.topicDefaults = configuration.topicDefaults
        options.onEvent = { event in
            switch event.severity {
            case .debug: logger.debug("\(event.message)")
            case .info: logger.info("\(event.message)")
            case .warning: logger.warning("\(event.message)")
            case .error: logger.critical("\(event.message)")
            }
        }
        return options
    }

    /// Returns when the broker is to end.
    private func serve(until signals: Signals, _ store: Store, _ configuration: LiveConfiguration, _ logger: Logger) async {
        for await signal in signals.received {
            switch signal {
            case SIGUSR1: backUp(store, into: configuration.current.backupDirectory, logger)
            default:
                logger.info("received \(signal == SIGINT ? "SIGINT" : "SIGTERM")")
                return
            }
        }
    }

    /// A hot copy by the broker's own process, for where another one cannot see its reader slots (another container).
    private func backUp(_ store: Store, into directory: String?, _ logger: Logger) {
        guard let directory else { return logger.warning("SIGUSR1 asks for a backup, but lmbroker.backup.dir is not set") }
        var now = time(nil)
        var calendar = tm()
        gmtime_r(&now, &calendar)
        let stamp = [calendar.tm_year + 1900, calendar.tm_mon + 1, calendar.tm_mday, calendar.tm_hour, calendar.tm_min, calendar.tm_sec]
            .map { $0 < 10 ? "0\($0)" : "\($0)" }.joined()
        let target = "\(directory)/\(stamp)"
        Task.detached {
            do {
                try store.backup(to: target)
                logger.info("hot copy in \(target)")
            } catch {
                logger.error("the hot copy failed: \(error)")
            }
        }
    }

    private func bootstrapLogging(_ configuration: LiveConfiguration) {
        LoggingSystem.bootstrap { ThresholdLogHandler(StreamLogHandler.standardError(label: $0), configuration) }
    }

    /// A connection is a file: takes as many as the system allows.
    private func raiseFileLimit(_ logger: Logger) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            logger.warning("the limit of open files stays at \(limit.rlim_cur)")
        }
    }
}
