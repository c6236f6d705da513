public import KafkaProtocol

/// A record with bytes of its own: for those who want to keep it. `FetchedRecords.forEachRecord` gives the same without copying.
public struct ConsumedRecord: Sendable, Equatable {
    public var partition: TopicPartition
    public var offset: Int64
    /// In milliseconds since 1970.
    public var timestampMs: Int64
    /// Nil is null.
    public var key: [UInt8]?
    public var value: [UInt8]?
    public var headers: [RecordHeader]
}

extension FetchedRecords {
    /// All records, copied.
    /// - Throws: `malformed` for a batch whose checksum or records are wrong.
    public func records() throws(ClientError) -> [ConsumedRecord] {
        var records: [ConsumedRecord] = []
        do {
            try forEachRecord { record, reader in
                records.append(
                    ConsumedRecord(
                        partition: partition, offset: record.offset, timestampMs: record.timestamp, key: reader.array(record.key),
                        value: reader.array(record.value), headers: reader.headers(of: record)))
                return true
            }
        } catch {
            throw error as? ClientError ?? .malformed("\(partition): \(error)")
        }
        return records
    }
}

/// What comes, batches by batches, until the consumer is closed or the task cancelled: the consumer's `next` as a sequence.
public struct BatchSequence: AsyncSequence, Sendable {
    public typealias Element = FetchedRecords
    public typealias Failure = ClientError

    let source: @Sendable () async throws(ClientError) -> FetchedRecords?

    public struct AsyncIterator: AsyncIteratorProtocol {
        let source: @Sendable () async throws(ClientError) -> FetchedRecords?

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> FetchedRecords? { try await source() }
        public mutating func next() async throws(ClientError) -> FetchedRecords? { try await source() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source: source) }
}

/// What comes, record by record, each with bytes of its own.
public struct RecordSequence: AsyncSequence, Sendable {
    public typealias Element = ConsumedRecord
    public typealias Failure = ClientError

    let batches: BatchSequence
    /// Told, whenever the next record is asked for, before which offset all of the last batches have been worked on.
    var onProgress: (@Sendable (Int64) -> Void)?

    public struct AsyncIterator: AsyncIteratorProtocol {
        private var batches: BatchSequence.AsyncIterator
        private let onProgress: (@Sendable (Int64) -> Void)?
        private var waiting: ArraySlice<ConsumedRecord> = []
        /// Behind the last of those that wait, or waited.
        private var end: Int64?

        init(_ batches: BatchSequence.AsyncIterator, _ onProgress: (@Sendable (Int64) -> Void)?) {
            self.batches = batches
            self.onProgress = onProgress
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> ConsumedRecord? { try await next() }

        public mutating func next() async throws(ClientError) -> ConsumedRecord? {
            while waiting.isEmpty {
                if let end { onProgress?(end) }
                end = nil
                guard let fetched = try await batches.next() else { return nil }
                // None of them, should one not be readable.
                onProgress?(fetched.firstOffset)
                waiting = try fetched.records()[...]
                end = fetched.nextOffset
            }
            let record = waiting.removeFirst()
            onProgress?(record.offset)
            return record
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(batches.makeAsyncIterator(), onProgress) }
}

extension Consumer {
    /// `for try await fetched in consumer.batches`. One loop at a time; a failure ends it, and another goes on behind it.
    public var batches: BatchSequence { BatchSequence { [self] () async throws(ClientError) in try await next() } }

    /// `for try await record in consumer.records`. What a loop that is left has not handed out of the last batches is lost to the next one.
    public var records: RecordSequence { RecordSequence(batches: batches) }
}

extension GroupConsumer {
    /// `for try await fetched in consumer.batches`. Each is done, and may be committed, when the next is asked for.
    public var batches: BatchSequence { BatchSequence { [self] () async throws(ClientError) in try await next() } }

    /// `for try await record in consumer.records`. A record is done when the next is asked for: one at which a loop is left comes again,
    /// here or with whoever has its partition next, unless `done(before:)` says otherwise. So do all that were fetched with one that
    /// cannot be read.
    public var records: RecordSequence { RecordSequence(batches: batches) { [self] offset in done(before: offset) } }
}
