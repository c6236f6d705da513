internal import KafkaProtocol

/// One value of the journal. Big-endian:
///
///     0  format (1)   1  flags (1): 1 = last entry of its commit   2  zero (2)
///     4  CRC-32C of bytes 8 ..< head length (4)
///     8  head length (4)   12 number of operations (4)
///     16 time of the commit, ms (8)   24 leader epoch (4)   28 zero (4)
///     32 operations …
///     head length: payload, the record batches of small appends, back to back
///
/// An operation is a fixed `AppendedBatch`, or: kind (1), zero (3), length (4), fields.
struct JournalEntryHead {
    static let format: UInt8 = 1
    static let fixedByteCount = 32

    var isLastOfCommit: Bool
    var byteCount: Int
    var operationCount: Int
    var timeMs: Int64
    var epoch: Int32

    /// Reads and checks the head of `entry`.
    init(_ entry: UnsafeRawBufferPointer, sequence: UInt64) throws(StoreError) {
        guard entry.count >= Self.fixedByteCount else { throw .corrupt("journal entry \(sequence) is only \(entry.count) bytes long") }
        guard entry[0] == Self.format else {
            throw .corrupt("journal entry \(sequence) has format \(entry[0]), which this version does not know")
        }
        guard entry[1] <= 1, entry[2] == 0, entry[3] == 0 else { throw .corrupt("journal entry \(sequence) has unknown flags") }
        isLastOfCommit = entry[1] & 1 != 0
        byteCount = Int(UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        operationCount = Int(UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
        timeMs = Int64(bigEndian: entry.loadUnaligned(fromByteOffset: 16, as: Int64.self))
        epoch = Int32(bigEndian: entry.loadUnaligned(fromByteOffset: 24, as: Int32.self))
        guard byteCount >= Self.fixedByteCount, byteCount <= entry.count else {
            throw .corrupt("journal entry \(sequence) says its head is \(byteCount) of \(entry.count) bytes")
        }
        let checksum = UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: entry[8..<byteCount])) == checksum else {
            throw .corrupt("the head of journal entry \(sequence) fails its checksum")
        }
    }

    /// Where the payload of the entry begins, without checking anything: for readers of batches, which carry their own CRC.
    static func payloadStart(_ entry: UnsafeRawBufferPointer) -> Int {
        Int(UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    }

    /// Calls `body` with each operation in order.
    func forEachOperation(
        in entry: UnsafeRawBufferPointer, sequence: UInt64, _ body: (Operation) throws(StoreError) -> Void
    ) throws(StoreError) {
        var at = Self.fixedByteCount
        for _ in 0..<operationCount {
            guard at < byteCount, let kind = Operation.Kind(rawValue: entry[at]) else {
                throw .corrupt("journal entry \(sequence) holds an unknown operation at byte \(at)")
            }
            if kind == .appended {
                guard at + AppendedBatch.byteCount <= byteCount else {
                    throw .corrupt("journal entry \(sequence) ends within an operation")
                }
                let batch = AppendedBatch(entry, at: at)
                guard batch.isDirect || byteCount + Int(batch.position) + Int(batch.batchByteCount) <= entry.count else {
                    throw .corrupt("journal entry \(sequence) names a batch beyond its end")
                }
                try body(.appended(batch))
                at += AppendedBatch.byteCount
                continue
            }
            guard at + 8 <= byteCount else { throw .corrupt("journal entry \(sequence) ends within an operation") }
            let length = Int(UInt32(bigEndian: entry.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)))
            guard at + 8 + length <= byteCount else { throw .corrupt("journal entry \(sequence) ends within an operation") }
            let body8 = UnsafeRawBufferPointer(rebasing: entry[(at + 8)..<(at + 8 + length)])
            try body(Self.decode(kind, body8, sequence: sequence))
            at += 8 + length
        }
        guard at == byteCount else { throw .corrupt("journal entry \(sequence) has bytes behind its operations") }
    }

    private static func decode(_ kind: Operation.Kind, _ bytes: UnsafeRawBufferPointer, sequence: UInt64) throws(StoreError) -> Operation {
        func fields<F: Fields>(_: F.Type) throws(StoreError) -> F {
            var value = F()
            var reader = Reader(bytes.bytes, version: 1, flexible: true)
            value.fields(&reader)
            do { try reader.finish() } catch { throw .corrupt("journal entry \(sequence) holds a broken operation") }
            return value
        }
        switch kind {
        case .appended: throw .corrupt("journal entry \(sequence): an append in the wrong form")
        case .topicCreated: return .topicCreated(try fields(TopicCreated.self))
        case .topicDeleted: return .topicDeleted(try fields(TopicDeleted.self))
        case .partitionsCreated: return .partitionsCreated(try fields(PartitionsCreated.self))
        case .topicConfigured: return .topicConfigured(try fields(TopicConfigured.self))
        case .brokerConfigured: return .brokerConfigured(try fields(BrokerConfigured.self))
        case .logStartMoved: return .logStartMoved(try fields(LogStartMoved.self))
        case .producerIDAllocated: return .producerIDAllocated(try fields(ProducerIDAllocated.self))
        case .groupChanged: return .groupChanged(try fields(GroupChanged.self))
        case .transactionChanged: return .transactionChanged(try fields(TransactionChanged.self))
        case .offsetsPending: return .offsetsPending(try fields(OffsetsPending.self))
        case .pendingOffsetsEnded: return .pendingOffsetsEnded(try fields(PendingOffsetsEnded.self))
        }
    }
}

/// An entry being put together. Batches stay in the frames they came in until the entry is written, once, in place.
struct JournalEntryDraft {
    private struct Payload {
        let frame: Frame
        let slice: FrameSlice
        let baseOffset: Int64
        let leaderEpoch: Int32
    }

    private let byteCountMax: Int
    private var operations: [UInt8] = []
    private(set) var operationCount = 0
    private var payloads: [Payload] = []
    private var payloadByteCount = 0
    /// Whose state the operations change: the entry may be trimmed when all of it has reached the databases.
    private(set) var touched: [StateKey] = []

    /// - Parameter byteCountMax: At most what an extent holds.
    init(byteCountMax: Int) { self.byteCountMax = byteCountMax }

    var isEmpty: Bool { operationCount == 0 }
    var byteCount: Int { JournalEntryHead.fixedByteCount + operations.count + payloadByteCount }

    /// What is too long for any entry but fits one of its own goes there.
    private var limit: Int { isEmpty ? extentByteCountMax : byteCountMax }

    /// Whether an append with `payload` bytes in the entry still fits.
    func fits(payload: Int) -> Bool { byteCount + AppendedBatch.byteCount + payload <= limit }
    func fits(operation: EncodedOperation) -> Bool { byteCount + 8 + operation.body.count <= limit }

    /// Takes the batch into the payload; returns its position there.
    mutating func appendSmall(_ append: Append, baseOffset: Int64, leaderEpoch: Int32) -> UInt32 {
        let position = UInt32(payloadByteCount)
        AppendedBatch(append, baseOffset: baseOffset, position: position, isDirect: false).encode(into: &operations)
        payloads.append(Payload(frame: append.frame, slice: append.slice, baseOffset: baseOffset, leaderEpoch: leaderEpoch))
        payloadByteCount += append.slice.length
        operationCount += 1
        touched.append(.partition(append.partition.id))
        return position
    }

    mutating func appendDirect(_ append: Append, baseOffset: Int64) {
        AppendedBatch(append, baseOffset: baseOffset, position: 0, isDirect: true).encode(into: &operations)
        operationCount += 1
        touched.append(.partition(append.partition.id))
    }

    mutating func add(_ operation: EncodedOperation) {
        operations.append(contentsOf: [operation.kind.rawValue, 0, 0, 0])
        withUnsafeBytes(of: UInt32(operation.body.count).bigEndian) { operations.append(contentsOf: $0) }
        operations += operation.body
        operationCount += 1
        touched += operation.touched
    }

    /// Fills `bytes`, of `byteCount`, with the entry.
    func write(to bytes: UnsafeMutableRawBufferPointer, isLast: Bool, timeMs: Int64, epoch: Int32) {
        let headByteCount = JournalEntryHead.fixedByteCount + operations.count
        bytes[0] = JournalEntryHead.format
        bytes[1] = isLast ? 1 : 0
        bytes.storeBytes(of: 0, toByteOffset: 2, as: UInt16.self)
        bytes.storeBytes(of: UInt32(headByteCount).bigEndian, toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: UInt32(operationCount).bigEndian, toByteOffset: 12, as: UInt32.self)
        bytes.storeBytes(of: timeMs.bigEndian, toByteOffset: 16, as: Int64.self)
        bytes.storeBytes(of: epoch.bigEndian, toByteOffset: 24, as: Int32.self)
        bytes.storeBytes(of: 0, toByteOffset: 28, as: UInt32.self)
        operations.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(rebasing: bytes[JournalEntryHead.fixedByteCount...]).copyMemory(from: $0)
        }
        let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[8..<headByteCount]))
        bytes.storeBytes(of: checksum.bigEndian, toByteOffset: 4, as: UInt32.self)
        var at = headByteCount
        for payload in payloads {
            let place = UnsafeMutableRawBufferPointer(rebasing: bytes[at..<(at + payload.slice.length)])
            payload.frame.copyBatch(payload.slice, to: place, baseOffset: payload.baseOffset, leaderEpoch: payload.leaderEpoch)
            at += payload.slice.length
        }
    }
}

/// An operation other than an append, ready for an entry.
struct EncodedOperation {
    var kind: Operation.Kind
    var body: [UInt8]
    var touched: [StateKey]

    init(_ kind: Operation.Kind, _ fields: some Fields, touching touched: [StateKey]) {
        self.kind = kind
        self.touched = touched
        var copy = fields
        var writer = Writer(version: 1, flexible: true)
        copy.fields(&writer)
        body = writer.finish().bytes
    }
}

/// A piece of state that has a row of its own.
enum StateKey: Hashable {
    case partition(PartitionID)
    case topic(Uuid)
    case counters
    case brokerConfigs
    case groupRecord(StoredGroup, [UInt8])
    case offset(StoredGroup, PackedOffsetKey)
    case transaction(ExactString)
    case pendingOffset(producerID: Int64, PendingOffsetKey)
}

extension Frame {
    /// Copies a batch, giving it its place in the log: the offset and the epoch, which its CRC does not cover.
    func copyBatch(_ slice: FrameSlice, to place: UnsafeMutableRawBufferPointer, baseOffset: Int64, leaderEpoch: Int32) {
        withUnsafeBytes { bytes in
            place.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[slice.offset..<(slice.offset + slice.length)]))
        }
        place.storeBytes(of: baseOffset.bigEndian, as: Int64.self)
        place.storeBytes(of: leaderEpoch.bigEndian, toByteOffset: 12, as: Int32.self)
    }
}
