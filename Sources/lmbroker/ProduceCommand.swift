public import ArgumentParser
public import KafkaClient
public import KafkaProtocol
import NIOCore
import Synchronization

struct ProduceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce",
        abstract: "Write lines of standard input to a topic, one record each.",
        discussion: """
            A line is any bytes up to a newline; the last one needs none. The topic is created if the broker allows it.

              lmbroker produce greetings < lines.txt
              printf 'user-1:signed in\\n' | lmbroker produce events --key-separator :
              lmbroker produce logs --codec zstd --header source=web < access.log

            Returns when every record is acknowledged. Exit status 1 if one was not, and why on standard error.
            """
    )

    @Argument(help: "The topic to write to.")
    var topic: String

    @OptionGroup var client: ClientOptions

    @Option(help: "Compression of batches: none, gzip, snappy, lz4 or zstd.")
    var codec: CompressionCodec = .none

    @Option(help: "Who must have a record before it counts: all (in-sync replicas), 1 (the leader) or 0 (nobody).")
    var acks: Acknowledgement = .all

    @Option(help: ArgumentHelp("What is before S in a line is the record's key; a line without S has none.", valueName: "s"))
    var keySeparator: String?

    @Option(help: ArgumentHelp("A header for every record; may be given several times.", valueName: "name=value"))
    var header: [Assignment] = []

    @Option(help: ArgumentHelp("Write to this partition only, whatever the keys.", valueName: "n"))
    var partition: Int32?

    @Flag(inversion: .prefixedNo, help: "Let the broker drop what trying again would repeat; only with --acks all.")
    var idempotent = true

    @Option(help: ArgumentHelp("A line (or what follows its key) that is just S stands for a null value.", valueName: "s"))
    var nullValue: String?

    @Option(help: ArgumentHelp("Milliseconds to wait for more records before a batch is sent.", valueName: "ms"))
    var lingerMs: Int = 5

    @Option(help: ArgumentHelp("Bytes of records in a batch.", valueName: "bytes"))
    var batchSize: Int = 256 << 10

    func validate() throws {
        if keySeparator?.isEmpty == true { throw ValidationError("--key-separator needs at least one character.") }
        if lingerMs < 0 { throw ValidationError("--linger-ms cannot be negative.") }
        if batchSize < 1 { throw ValidationError("--batch-size needs at least one byte.") }
        if let partition, partition < 0 { throw ValidationError("--partition cannot be negative.") }
    }

    func run() async throws {
        try await Outcome.of {
            let cluster = client.cluster()
            defer { cluster.close() }
            let tally = DeliveryTally()
            let producer = Producer(cluster, options: options(tally))
            let input = try StandardInput()
            let interruption = Interruption {
                tally.stop()
                input.interrupt()
            }
            do {
                try await send(input, to: try await producer.topic(topic), of: producer, until: tally)
            } catch {
                await producer.close()
                throw error
            }
            await producer.close()
            try tally.conclude()
            if interruption.wasInterrupted { throw Outcome.interrupted }
        }
    }

    private func options(_ tally: DeliveryTally) -> ProducerOptions {
        var options = ProducerOptions()
        options.acknowledgement = acks
        options.codec = codec
        options.isIdempotent = idempotent
        options.linger = .milliseconds(Int64(lingerMs))
        options.batchByteCount = batchSize
        options.onDelivery = { tally.count($0) }
        return options
    }

    private func send(_ input: StandardInput, to topic: ProducerTopic, of producer: Producer, until tally: DeliveryTally) async throws {
        let cutter = LineCutter(keySeparator: keySeparator, nullValue: nullValue)
        let headers = header.map { RecordHeader(key: $0.name, value: Array($0.value.utf8)) }
        var progress = ProgressLine(isWanted: !input.isTerminal)
        defer { progress.clear() }
        var records = 0
        var bytes = 0
        while !tally.isStopped {
            let isMore = try await input.fill()
            while let line = input.lines.next() ?? (isMore ? nil : input.lines.rest()) {
                let (key, value) = cutter.cut(line)
                while try !topic.enqueue(key: key, value: value, headers: headers, partition: partition) {
                    progress.show(records: records, bytes: bytes)
                    await producer.room()
                    if tally.isStopped { return }
                }
                tally.taken()
                records += 1
                bytes += line.count
            }
            progress.show(records: records, bytes: bytes)
            if !isMore { return }
        }
    }
}

extension CompressionCodec: ExpressibleByArgument {
    public init?(argument: String) {
        guard let codec = Self.allCases.first(where: { "\($0)" == argument }) else { return nil }
        self = codec
    }

    public static var allValueStrings: [String] { allCases.map { "\($0)" } }
}

extension Acknowledgement: ExpressibleByArgument {
    public init?(argument: String) {
        switch argument {
        case "all", "-1": self = .all
        case "1": self = .leader
        case "0": self = .none
        default: return nil
        }
    }

    public static var allValueStrings: [String] { ["all", "1", "0"] }
    public var defaultValueDescription: String { self == .all ? "all" : "\(rawValue)" }
}

/// Counts what was taken from the input and what became of it.
final class DeliveryTally: Sendable {
    private struct State {
        var taken = 0
        var delivered = 0
        var failed = 0
        var failure: ClientError?
    }
    private let state = Mutex(State())
    private let stopped = Atomic(false)

    var isStopped: Bool { stopped.load(ordering: .relaxed) }
    /// No more is read.
    func stop() { stopped.store(true, ordering: .relaxed) }
    func taken() { state.withLock { $0.taken += 1 } }

    func count(_ delivery: BatchDelivery) {
        state.withLock { state in
            switch delivery.result {
            case .success: state.delivered += delivery.recordCount
            case .failure(let error):
                state.failed += delivery.recordCount
                if state.failure == nil { state.failure = error }
            }
        }
        if case .failure = delivery.result { stop() }
    }

    /// Throws when not everything was delivered, having said so.
    func conclude() throws {
        let (taken, delivered, failure) = state.withLock { ($0.taken, $0.delivered, $0.failure) }
        guard delivered < taken || failure != nil else { return }
        let reason = failure.map { ": \($0)" } ?? ""
        Outcome.complain("\(Figures.count(taken - delivered)) of \(Figures.count(taken)) records were not delivered\(reason)")
        throw Outcome.refused
    }
}
