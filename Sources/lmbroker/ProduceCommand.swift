public import ArgumentParser
public import KafkaClient
import Dispatch
import KafkaProtocol
import NIOCore
import Synchronization

struct ProduceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce",
        abstract: "Write lines of files or of standard input to a topic, one record each.",
        discussion: """
            A line is any bytes up to a newline; the last one of a file needs none. The topic is created if the broker allows it.

              lmbroker produce greetings lines.txt
              tail -f app.log | lmbroker produce logs --verbose
              printf 'user-1:signed in\\n' | lmbroker produce events --key-separator :
              lmbroker produce logs --codec zstd --header source=web < access.log

            Returns when every record is acknowledged. Exit status 1 if one was not, and why on standard error.
            """
    )

    @Argument(help: "The topic to write to.", completion: Completions.topics)
    var topic: String

    @Argument(help: ArgumentHelp("Files to read instead of standard input, one after the other; - stands for it.", valueName: "file"), completion: .file())
    var files: [String] = []

    @OptionGroup var client: ClientOptions

    @Option(help: "Compression of batches.")
    var codec = CodecName.none

    @Option(help: "Who must have a record before it counts: all (in-sync replicas), 1 (the leader) or 0 (nobody).")
    var acks: Acknowledgement = .all

    @Option(
        help: ArgumentHelp(
            "What is before S in a line is the record's key; a line without S has none. In S, \\t is a tab, as `lmbroker consume --keys` writes it, \\xHH a byte, \\\\ a backslash.",
            valueName: "s"))
    var keySeparator: String?

    @Option(help: ArgumentHelp("A header for every record; may be given several times.", valueName: "name=value"))
    var header: [Assignment] = []

    @Option(help: ArgumentHelp("Write to this partition only, whatever the keys.", valueName: "n"))
    var partition: Int32?

    @Flag(inversion: .prefixedNo, help: "Let the broker drop what trying again would repeat; only with --acks all.")
    var idempotent = true

    @Option(help: ArgumentHelp("A line (or what follows its key) that is just S stands for a null value; \\ as above.", valueName: "s"))
    var nullValue: String?

    @Option(help: ArgumentHelp("Milliseconds to wait for more records before a batch is sent.", valueName: "ms"))
    var lingerMs: Int = 5

    @Option(help: ArgumentHelp("Bytes of records in a batch.", valueName: "bytes"))
    var batchSize: Int = 256 << 10

    @Option(help: ArgumentHelp("Bytes of a record, at most; the topic's max.message.bytes is to be no less.", valueName: "bytes"))
    var maxRecordBytes = ProducerOptions().recordByteCountMax

    @Option(help: ArgumentHelp("Records a second, at most.", valueName: "n"))
    var rate: Double?

    @Flag(name: [.short, .long], help: "Write a line to standard output for each record: where it is now.")
    var verbose = false

    func validate() throws {
        try Pace.validate(rate)
        if keySeparator?.isEmpty == true { throw ValidationError("--key-separator needs at least one character.") }
        if lingerMs < 0 { throw ValidationError("--linger-ms cannot be negative.") }
        if batchSize < 1 { throw ValidationError("--batch-size needs at least one byte.") }
        guard (1...Self.recordByteCountLimit).contains(maxRecordBytes) else {
            throw ValidationError("--max-record-bytes is 1 to \(Self.recordByteCountLimit).")
        }
        do { _ = try cutter } catch { throw ValidationError("--key-separator, --null-value: \(error).") }
        if let partition, partition < 0 { throw ValidationError("--partition cannot be negative.") }
    }

    func run() async throws {
        try await Outcome.of {
            let paths = files.isEmpty ? ["-"] : files
            let sizes = try paths.map { try LineInput.byteCount($0) }
            let cluster = client.cluster()
            defer { cluster.close() }
            let tally = DeliveryTally()
            let places = verbose ? DeliveryLines { tally.stop() } : nil
            let producer = Producer(cluster, options: options(tally, places))
            let alarm = try InputAlarm()
            let interruption = Interruption {
                tally.stop()
                alarm.ring()
                if tally.isUnderWay { Outcome.complain("finishing what is under way; Ctrl-C again gives it up") }
            }
            let progress = ProgressLine(
                isWanted: !paths.contains(where: LineInput.isTerminal), of: sizes.contains(nil) ? nil : sizes.compactMap(\.self).reduce(0, +))
            var failure: (any Error)?
            do {
                try await send(paths, until: alarm, to: try await producer.topic(topic), of: producer, tally, progress)
            } catch { failure = error }
            await producer.close()
            do { try places?.finish() } catch { failure = failure ?? error }
            if failure == nil { try tally.conclude() }
            if failure != nil || interruption.wasInterrupted { tally.report() }
            if let failure { throw failure }
            if interruption.wasInterrupted { throw Outcome.interrupted }
        }
    }

    /// What one frame may hold, of any Kafka broker.
    private static let recordByteCountLimit = 1 << 30

    private var cutter: LineCutter { get throws { try LineCutter(keySeparator: keySeparator, nullValue: nullValue) } }

    private func options(_ tally: DeliveryTally, _ places: DeliveryLines?) -> ProducerOptions {
        var options = ProducerOptions()
        options.acknowledgement = acks
        options.codec = codec.codec
        options.isIdempotent = idempotent
        options.linger = .milliseconds(Int64(lingerMs))
        options.batchByteCount = batchSize
        options.recordByteCountMax = maxRecordBytes
        options.onDelivery = { delivery in
            tally.count(delivery)
            places?.write(delivery)
        }
        return options
    }

    private func send(
        _ paths: [String], until alarm: InputAlarm, to topic: ProducerTopic, of producer: Producer, _ tally: DeliveryTally, _ progress: ProgressLine
    ) async throws {
        var sending = LineSending(
            topic: topic, producer: producer, tally: tally, cutter: try cutter,
            headers: header.map { RecordHeader(key: $0.name, value: Array($0.value.utf8)) }, partition: partition, pace: rate.map { Pace(perSecond: $0) },
            progress: progress)
        defer { sending.progress.clear() }
        for path in paths where !tally.isStopped {
            let input = try LineInput(path, until: alarm)
            tally.begin(input.name)
            try await sending.send(input)
        }
    }
}

/// Writes where each record is to standard output, on a thread that may wait for whoever reads it.
private final class DeliveryLines: @unchecked Sendable {
    // Unchecked: everything but the constants is touched on the queue only.
    private let queue = DispatchQueue(label: "lmbroker.produce.deliveries")
    private let onFailure: @Sendable () -> Void
    private let out = StandardOutput()
    private var failure: (any Error)?

    init(onFailure: @escaping @Sendable () -> Void) { self.onFailure = onFailure }

    func write(_ delivery: BatchDelivery) {
        guard case .success = delivery.result else { return }
        queue.async { [self] in
            if failure != nil { return }
            do {
                for number in 0..<delivery.recordCount {
                    if let place = delivery.place(of: number) { try out.print(place) }
                }
                try out.flush()
            } catch {
                failure = error
                if !(error is StandardOutput.ReaderGone) { onFailure() }
            }
        }
    }

    /// Returns when everything is written. Who did not want to read all of it is no failure.
    func finish() throws {
        if let failure = queue.sync(execute: { failure }), !(failure is StandardOutput.ReaderGone) { throw failure }
    }
}

extension BatchDelivery {
    /// Where the record of this number in the batch is now, as far as the broker says; nil where it was not delivered.
    func place(of number: Int) -> String? {
        guard case .success(let first) = result else { return nil }
        // A broker may say anything: the sum wraps.
        return first < 0 ? "\(partition)" : "\(partition) offset \(first &+ Int64(number))"
    }
}

/// A codec as the command line names it. The parser shows the raw values of what has them, and a codec's are numbers.
enum CodecName: String, ExpressibleByArgument, CaseIterable {
    case none, gzip, snappy, lz4, zstd

    var codec: CompressionCodec {
        switch self {
        case .none: .none
        case .gzip: .gzip
        case .snappy: .snappy
        case .lz4: .lz4
        case .zstd: .zstd
        }
    }
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
    public static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
    public var defaultValueDescription: String { self == .all ? "all" : "\(rawValue)" }
}

/// Counts what was taken from the input and what became of it.
final class DeliveryTally: Sendable {
    private struct State {
        var taken = 0
        /// The last line that was taken, and where from.
        var line = 0
        var name = ""
        var delivered = 0
        var failed = 0
        var failure: ClientError?
    }
    private let state = Mutex(State())
    private let stopped = Atomic(false)

    var isStopped: Bool { stopped.load(ordering: .relaxed) }
    /// No more is read.
    func stop() { stopped.store(true, ordering: .relaxed) }
    /// Lines of another input follow.
    func begin(_ name: String) { state.withLock { ($0.name, $0.line) = (name, 0) } }
    func taken() {
        state.withLock { state in
            state.taken += 1
            state.line += 1
        }
    }

    /// Whether something was taken of which nobody knows yet what becomes of it.
    var isUnderWay: Bool { state.withLock { $0.delivered + $0.failed < $0.taken } }

    /// Where the line after the last one that was taken is.
    var next: String { state.withLock { "line \($0.line + 1) of \($0.name)" } }

    /// Says how far it came, of an input that was not read to its end.
    func report() {
        let (name, line, delivered, isAll) = state.withLock { ($0.name, $0.line, $0.delivered, $0.delivered == $0.taken) }
        // Nothing was read yet.
        if name.isEmpty { return }
        let extent = "all up to line \(Figures.count(line)) of \(name)"
        Outcome.complain("\(Figures.count(delivered)) records were written, \(isAll ? "" : "not ")\(extent)")
    }

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
