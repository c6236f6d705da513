import ArgumentParser
import KafkaClient
import KafkaProtocol

/// Makes lines into records and hands them to a producer.
struct LineSending {
    let topic: ProducerTopic
    let producer: Producer
    /// Stopped when no more is wanted.
    let tally: DeliveryTally
    let cutter: LineCutter
    let headers: [RecordHeader]
    let partition: Int32?
    var pace: Pace?
    var progress: ProgressLine
    private(set) var recordCount = 0
    private(set) var byteCount = 0

    /// Returns when all of it was taken, or no more is wanted.
    mutating func send(_ input: LineInput) async throws {
        var isMore = true
        while isMore, !tally.isStopped {
            isMore = try await input.fill()
            while let line = input.lines.next() { try await send(line) }
            try check(input.lines.unfinishedByteCount)
            progress.show(records: recordCount, bytes: byteCount)
        }
        // The last line of a file needs no newline. Where reading was cut short, nobody knows how the line goes on.
        if !tally.isStopped, let rest = input.lines.rest() { try await send(rest) }
    }

    /// Refuses a line that is too long already, wherever it ends: all of it would have to be kept until then.
    private func check(_ unfinishedByteCount: Int) throws(ClientError) {
        let byteCountMax = producer.options.recordByteCountMax
        guard unfinishedByteCount <= byteCountMax + cutter.surplusByteCountMax else {
            throw .invalid("\(tally.next) is longer than the \(byteCountMax) bytes that a record may have; --max-record-bytes allows more")
        }
    }

    private mutating func send(_ line: UnsafeRawBufferPointer) async throws {
        if pace != nil {
            progress.show(records: recordCount, bytes: byteCount)
            let stop = tally
            try await pace?.next { stop.isStopped }
        }
        let (key, value) = cutter.cut(line)
        while !tally.isStopped {
            if try take(key, value) {
                tally.taken()
                recordCount += 1
                byteCount += line.count + 1
                return
            }
            progress.show(records: recordCount, bytes: byteCount)
            await producer.room()
        }
    }
}

extension LineSending {
    /// - Returns: False when there is no room yet.
    private func take(_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?) throws(ClientError) -> Bool {
        do { return try topic.enqueue(key: key, value: value, headers: headers, partition: partition) } catch .invalid(let reason) {
            throw .invalid("\(tally.next): \(reason)")
        }
    }
}

/// Says when the next of records is due that come at a steady rate.
struct Pace {
    private let interval: Duration
    private var due = ContinuousClock.now
    /// Who is late makes up for so much of it, and not for an hour in which there was nothing to send.
    private static let madeUp = Duration.milliseconds(100)
    /// Who waits looks up after so long, in case no more is wanted.
    static let nap = Duration.milliseconds(100)

    /// Refuses what would have the time between two records be longer than the clock can count.
    static func validate(_ perSecond: Double?) throws {
        if let perSecond, !(perSecond >= 1e-6 && perSecond.isFinite) {
            throw ValidationError("--rate is a number of records a second, 0.000001 at least.")
        }
    }

    init(perSecond: Double) { interval = .seconds(1 / perSecond) }

    mutating func next(isStopped: () -> Bool) async throws {
        // A sleep is not worth it for less.
        while due - .now > .milliseconds(1), !isStopped() { try await Task.sleep(until: min(due, .now + Self.nap)) }
        due = max(due, .now - Self.madeUp) + interval
    }
}
