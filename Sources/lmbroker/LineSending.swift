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
            progress.show(records: recordCount, bytes: byteCount)
        }
        // The last line of a file needs no newline. Where reading was cut short, nobody knows how the line goes on.
        if !tally.isStopped, let rest = input.lines.rest() { try await send(rest) }
    }

    private mutating func send(_ line: UnsafeRawBufferPointer) async throws {
        if pace != nil {
            progress.show(records: recordCount, bytes: byteCount)
            let stop = tally
            try await pace?.next { stop.isStopped }
        }
        let (key, value) = cutter.cut(line)
        while !tally.isStopped {
            if try topic.enqueue(key: key, value: value, headers: headers, partition: partition) {
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

/// Says when the next of records is due that come at a steady rate.
struct Pace {
    private let interval: Duration
    private var due = ContinuousClock.now
    /// Who is late makes up for so much of it, and not for an hour in which there was nothing to send.
    private static let madeUp = Duration.milliseconds(100)
    /// Who waits looks up after so long, in case no more is wanted.
    private static let nap = Duration.milliseconds(100)

    init(perSecond: Double) { interval = .seconds(1 / perSecond) }

    mutating func next(isStopped: () -> Bool) async throws {
        // A sleep is not worth it for less.
        while due - .now > .milliseconds(1), !isStopped() { try await Task.sleep(until: min(due, .now + Self.nap)) }
        due = max(due, .now - Self.madeUp) + interval
    }
}
