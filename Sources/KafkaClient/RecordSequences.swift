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
                records.append(ConsumedRecord(record, reader, of: partition))
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

/// Where a loop over single records takes them from, and what it tells of them.
protocol RecordSource: Sendable {
    /// What `next` gives, of which nothing counts as handed out yet.
    func nextToUnpack() async throws(ClientError) -> FetchedRecords?
    /// Counts the record as handed out. False when it must not be: its partition is read from elsewhere since, or not at all.
    func handOut(_ record: ConsumedRecord) -> Bool
    /// All that was handed out is worked on, and no more comes of what was fetched last.
    func finish(before offset: Int64)
    /// All that was handed out is worked on; what comes next cannot be read, and who goes on does so behind it.
    func pass(to rest: FetchedRecords)
}

/// What comes, record by record, each with bytes of its own.
public struct RecordSequence: AsyncSequence, Sendable {
    public typealias Element = ConsumedRecord
    public typealias Failure = ClientError

    let source: any RecordSource

    public struct AsyncIterator: AsyncIteratorProtocol {
        private let source: any RecordSource
        /// What was fetched last, as far as it is not handed out.
        private var rest: RecordPieces?

        init(_ source: any RecordSource) { self.source = source }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> ConsumedRecord? { try await next() }

        public mutating func next() async throws(ClientError) -> ConsumedRecord? {
            while true {
                if let record = try take() { return record }
                guard let fetched = try await source.nextToUnpack() else { return nil }
                rest = RecordPieces(fetched)
            }
        }

        /// The next of what was fetched last; nil when there is none, or it is wanted no more.
        private mutating func take() throws(ClientError) -> ConsumedRecord? {
            // Gone unless it is put back, so after a failure as well.
            guard var pieces = rest.take() else { return nil }
            let next: ConsumedRecord?
            do throws(ClientError) { next = try pieces.next() } catch {
                source.pass(to: pieces.rest)
                throw error
            }
            guard let record = next else {
                source.finish(before: pieces.fetched.nextOffset)
                return nil
            }
            guard source.handOut(record) else { return nil }
            rest = pieces
            return record
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source) }
}

extension Consumer {
    /// `for try await fetched in consumer.batches`. One loop at a time; a failure ends it, and another goes on behind it.
    public var batches: BatchSequence { BatchSequence { [self] () async throws(ClientError) in try await next() } }

    /// `for try await record in consumer.records`. One loop at a time; where one is left, or ended by what cannot be read, another goes on
    /// behind it.
    public var records: RecordSequence { RecordSequence(source: self) }
}

extension GroupConsumer {
    /// `for try await fetched in consumer.batches`. Each is done, and may be committed, when the next is asked for.
    public var batches: BatchSequence { BatchSequence { [self] () async throws(ClientError) in try await next() } }

    /// `for try await record in consumer.records`. A record is done when the loop asks for the next, or when it is committed by its owner:
    /// one at which a loop is left comes again, here or with whoever has its partition next, unless `done(before:)` says otherwise.
    public var records: RecordSequence { RecordSequence(source: self) }
}
