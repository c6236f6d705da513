import ArgumentParser
import Dispatch
import Glibc
import KafkaClient
import KafkaProtocol
import NIOCore
import Synchronization

/// What a benchmark writes, and how.
struct BenchLoadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Bytes in a record's value.", valueName: "bytes"))
    var size = 1024

    @Option(help: ArgumentHelp("Records have one of so many keys; 0: none has a key.", valueName: "n"))
    var keys = 0

    @Option(help: "Compression of batches. Values are random letters.")
    var codec = CodecName.none

    @Option(help: "Who must have a record before it counts: all (in-sync replicas), 1 (the leader) or 0 (nobody).")
    var acks: Acknowledgement = .all

    @Option(help: ArgumentHelp("Milliseconds to wait for more records before a batch is sent.", valueName: "ms"))
    var lingerMs: Int?

    @Option(help: ArgumentHelp("Bytes of records in a batch.", valueName: "bytes"))
    var batchSize = 256 << 10

    @Flag(inversion: .prefixedNo, help: "Number batches, so that trying again repeats nothing; only with --acks all.")
    var idempotent = true

    /// As much as a request may have, about.
    private static let sizeMax = 1 << 30

    func validate() throws {
        if !(0...Self.sizeMax).contains(size) { throw ValidationError("--size is a number of bytes up to \(Self.sizeMax).") }
        if keys < 0 || lingerMs ?? 0 < 0 { throw ValidationError("--keys and --linger-ms cannot be negative.") }
        if batchSize < 1 { throw ValidationError("--batch-size needs at least one byte.") }
    }

    /// In the order in which a report tells them.
    func settings(rate: Double?) -> [(name: String, value: BenchReport.Setting)] {
        (rate.map { [("rate", .rate($0))] } ?? []) + [
            ("size", .count(size)), ("keys", .count(keys)), ("codec", .text("\(codec)")), ("acks", .text(acks.defaultValueDescription)),
            ("batch_size", .count(batchSize)),
        ]
    }

    func producerOptions(lingerMsByDefault: Int) -> ProducerOptions {
        var options = ProducerOptions()
        options.acknowledgement = acks
        options.codec = codec.codec
        options.isIdempotent = idempotent
        options.linger = .milliseconds(Int64(lingerMs ?? lingerMsByDefault))
        options.batchByteCount = batchSize
        options.recordByteCountMax = max(options.recordByteCountMax, size + 1024)
        return options
    }
}

/// Writes records of random letters to a topic, as fast as they are taken or by the clock, until it is told to stop.
final class BenchWriter: Sendable {
    let meter = BenchMeter()
    /// From the moment at which a record was due, or was offered, to its acknowledgement.
    let latencies = LatencyRecorder()
    private let producer: Producer
    private let options: BenchLoadOptions
    private let tally: Tally
    private let isStopping = Atomic(false)
    /// Records that were offered, or due, before it begins are not timed.
    private let time: BenchRun
    private let letters: [UInt8]
    private let unoffered = Mutex<BenchBacklog?>(nil)

    private final class Tally: Sendable {
        let failed = Atomic(0)
        let firstFailure = Mutex<ClientError?>(nil)
    }

    init(_ cluster: Cluster, _ options: BenchLoadOptions, lingerMsByDefault: Int = 5, during time: BenchRun) {
        self.options = options
        self.time = time
        let tally = Tally()
        self.tally = tally
        var producing = options.producerOptions(lingerMsByDefault: lingerMsByDefault)
        producing.onDelivery = { [meter, size = options.size] delivery in
            switch delivery.result {
            case .success: meter.add(records: delivery.recordCount, bytes: delivery.recordCount * size)
            case .failure(let error):
                tally.failed.add(delivery.recordCount, ordering: .relaxed)
                tally.firstFailure.withLock { if $0 == nil { $0 = error } }
            }
        }
        producer = Producer(cluster, options: producing)
        letters = BenchRecord.letters(forValuesOf: options.size)
    }

    var failedCount: Int { tally.failed.load(ordering: .relaxed) }
    var failure: ClientError? { tally.firstFailure.withLock { $0 } }
    /// What a run by the clock has left behind, once `run` has returned; nil for one without a rate.
    var backlog: BenchBacklog? { unoffered.withLock { $0 } }

    /// No more records are offered.
    func stop() { isStopping.store(true, ordering: .relaxed) }

    /// What was taken is delivered, or given up, and the connections are closed.
    func close() async { await producer.close() }

    /// Writes until it is stopped, or something fails: by the clock where there is a rate.
    func run(to name: String, rate: Double?) async throws(ClientError) {
        if let rate { try await pace(to: name, rate: rate) } else { try await fill(name) }
    }

    // MARK: - As fast as they are taken

    /// One record of so many is timed: the clock and the callback are not to be what is measured.
    private static let recordsPerTiming = 64

    private func fill(_ name: String) async throws(ClientError) {
        let topic = try await topic(name)
        var record = BenchRecord(letters, options)
        while !isStopping.load(ordering: .relaxed), failure == nil {
            for index in 0..<Self.recordsPerTiming {
                let now = index == 0 ? ContinuousClock.now : nil
                while try !offered(&record, to: topic, timedFrom: now) {
                    await producer.room()
                    if isStopping.load(ordering: .relaxed) { return }
                }
            }
        }
    }

    // MARK: - By the clock

    /// Offers `rate` records a second on a thread of its own, each when it is due, whatever became of those before. A record's
    /// time counts from when it was due, so that a broker that stands still is charged for all who had to wait.
    private func pace(to name: String, rate: Double) async throws(ClientError) {
        let topic = try await topic(name)
        let queue = DispatchQueue(label: "bench", qos: .userInteractive)
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<Result<Void, ClientError>, Never>) in
            queue.async { continuation.resume(returning: Result { () throws(ClientError) in try self.pace(topic, rate) }) }
        }
        try result.get()
    }

    private func pace(_ topic: ProducerTopic, _ rate: Double) throws(ClientError) {
        var record = BenchRecord(letters, options)
        let start = ContinuousClock.now
        var count = 0.0
        defer { charge(BenchBacklog(of: rate, since: start, offered: count, from: time.begin, until: min(time.end, .now))) }
        while failure == nil {
            let due = start + .seconds(count / rate)
            guard wait(until: due) else { return }
            while try !offered(&record, to: topic, timedFrom: due) {
                usleep(100)
                if isStopping.load(ordering: .relaxed) { return }
            }
            count += 1
        }
    }

    /// Who was due by the end and was not offered has waited too.
    private func charge(_ backlog: BenchBacklog) {
        backlog.record(in: latencies)
        unoffered.withLock { $0 = backlog }
    }

    /// Sleeps for most of it: the kernel wakes up some tens of microseconds late. False when no more records are wanted.
    private func wait(until due: ContinuousClock.Instant) -> Bool {
        while !isStopping.load(ordering: .relaxed) {
            let left = (due - .now) / .microseconds(1)
            if left > 120 {
                usleep(UInt32(min(left - 80, Pace.nap / .microseconds(1))))
            } else {
                while ContinuousClock.now < due {}
                return true
            }
        }
        return false
    }

    // MARK: - One record

    private func topic(_ name: String) async throws(ClientError) -> ProducerTopic {
        do throws(ClientError) { return try await producer.topic(name) } catch {
            note(error)
            throw error
        }
    }

    /// Whoever measures need not wait for the end of what has failed.
    private func note(_ error: ClientError) {
        tally.firstFailure.withLock { if $0 == nil { $0 = error } }
    }

    private func offered(
        _ record: inout BenchRecord, to topic: ProducerTopic, timedFrom start: ContinuousClock.Instant?
    ) throws(ClientError) -> Bool {
        do throws(ClientError) { return try offer(&record, to: topic, timedFrom: start) } catch {
            // Closed while this one was on its way in: nobody waits for it any more.
            if error == .closed, isStopping.load(ordering: .relaxed) { return true }
            note(error)
            throw error
        }
    }

    private func offer(
        _ record: inout BenchRecord, to topic: ProducerTopic, timedFrom start: ContinuousClock.Instant?
    ) throws(ClientError) -> Bool {
        let completion = start.flatMap { $0 >= time.begin ? timing(from: $0) : nil }
        let isTaken = try record.withBytes(stamp: start ?? ContinuousClock.now) { (key, value) throws(ClientError) in
            try topic.enqueue(key: key, value: value, completion: completion)
        }
        if isTaken { record.advance() }
        return isTaken
    }

    private func timing(from start: ContinuousClock.Instant) -> Completion {
        { [latencies] _, result in
            if case .success = result { latencies.record(ContinuousClock.now - start) }
        }
    }
}

private typealias Completion = @Sendable (TopicPartition, Result<Int64, ClientError>) -> Void
