import Dispatch
import Foundation
import KafkaProtocol
import Testing

@testable import Store

/// A directory that is gone when the test is.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("lmbroker-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func subdirectory(_ name: String) -> String { path + "/" + name }
}

/// Splitmix64: the same seed, the same test.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// Options under which sweeps have much to do with little data.
func smallOptions() -> StoreOptions {
    var options = StoreOptions()
    options.journalBytesMax = 1 << 20
    options.mapByteCount = 1 << 36
    return options
}

/// A batch whose records carry `values`, one millisecond apart from `timestamp` on.
func makeBatch(
    _ values: [[UInt8]], timestamp: Int64 = 1_000, codec: CompressionCodec = .none, producerID: Int64 = -1, epoch: Int16 = -1,
    sequence: Int32 = -1
) throws -> [UInt8] {
    var builder = RecordBatchBuilder()
    for (index, value) in values.enumerated() { builder.append(key: nil, value: value, timestamp: timestamp + Int64(index)) }
    return try builder.finish(codec: codec, producerID: producerID, producerEpoch: epoch, baseSequence: sequence)
}

func makeAppend(_ partition: Partition, _ batch: [UInt8]) throws -> Append {
    let header = try #require(batch.withUnsafeBytes { RecordBatchHeader($0) })
    return Append(partition: partition, frame: Frame(batch), slice: FrameSlice(offset: 0, length: batch.count), header: header)
}

extension LogReader {
    /// A search that may open whatever it meets.
    func offset(in partition: Partition, atOrAfter timestamp: Int64) throws(StoreError) -> TimestampedOffset? {
        var openableBytes = Int.max
        return try offset(in: partition, atOrAfter: timestamp, openableBytes: &openableBytes)
    }

    func maxTimestamp(in partition: Partition) throws(StoreError) -> TimestampedOffset? {
        var openableBytes = Int.max
        return try maxTimestamp(in: partition, openableBytes: &openableBytes)
    }
}

/// Hands outcomes to whoever blocks on them.
final class WaitingLane: Lane {
    var isWatching: Bool { false }
    func deliver(_ finished: [Submission], changed: [PartitionID]) {
        for submission in finished { submission.finish() }
    }
}

final class Box<Value: Sendable>: @unchecked Sendable {
    // Unchecked: written before the semaphore is signalled, read after.
    var value: Value?
    let done = DispatchSemaphore(value: 0)
}

extension Store {
    func append(_ appends: [Append], isLone: Bool = false) throws -> [AppendResult] {
        let box = Box<[AppendResult]>()
        let submission = Submission.append(appends, lane: WaitingLane()) {
            box.value = $0
            box.done.signal()
        }
        if isLone { submitLone(submission) } else { submit([submission]) }
        guard box.done.wait(timeout: .now() + .seconds(60)) == .success else { throw TestFailure("an append was never answered") }
        return try #require(box.value)
    }

    func append(_ batch: [UInt8], to partition: Partition, isLone: Bool = false) throws -> AppendResult {
        try #require(try append([makeAppend(partition, batch)], isLone: isLone).first)
    }

    func administer(_ operation: AdminOperation) throws -> AdminOutcome {
        let box = Box<AdminOutcome>()
        submit([
            .admin(operation, lane: WaitingLane()) {
                box.value = $0
                box.done.signal()
            }
        ])
        box.done.wait()
        return try #require(box.value)
    }

    func makeTopic(_ name: String, partitions: Int = 1, configs: [String: String] = [:]) throws -> Topic {
        guard case .topic(let topic) = try administer(.createTopic(name: name, id: nil, partitionCount: partitions, configs: configs))
        else {
            throw TestFailure("the topic \(name) was not created")
        }
        return topic
    }

    /// Every record's value from `offset` to the high watermark, by offset.
    func values(of partition: Partition, from offset: Int64? = nil, maxBytes: Int = 300_000) throws -> [Int64: [UInt8]] {
        var found: [Int64: [UInt8]] = [:]
        var next = offset ?? partition.logStartOffset
        while next < partition.highWatermark {
            var sink = ByteSink()
            _ = try withReader { reader throws(StoreError) in
                try reader.read(
                    partition, from: next, limit: partition.highWatermark, maxBytes: maxBytes, firstBatchWhole: true, into: &sink)
            }
            let before = next
            next = try sink.collect(from: next, into: &found)
            guard next > before else { throw TestFailure("reading stands still at \(next) of \(partition.highWatermark)") }
        }
        return found
    }
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

struct ByteSink: RecordSink {
    var bytes: [UInt8] = []
    mutating func append(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
    func snapshotEnds() {}

    /// Adds the records at and after `offset`; returns the offset after the last batch.
    func collect(from offset: Int64, into found: inout [Int64: [UInt8]]) throws -> Int64 {
        var at = 0
        var next = offset
        while let header = bytes.withUnsafeBytes({ RecordBatchHeader($0, at: at) }) {
            let whole = Array(bytes[at..<(at + header.byteCount)])
            #expect(whole.withUnsafeBytes { RecordBatchHeader.checksum(ofBatch: $0) } == header.crc)
            let packed = Array(whole[RecordBatchHeader.headerByteCount...])
            let codec = try #require(header.codec)
            let plain = codec == .none ? packed : try packed.withUnsafeBytes { try codec.decompress($0, limit: 1 << 28) }
            var reader = RecordReader(plain.span.bytes, of: header)
            while let record = try reader.next() {
                if record.offset >= offset { found[record.offset] = reader.array(record.value) }
            }
            at += header.byteCount
            next = header.nextOffset
        }
        #expect(at == bytes.count, "only whole batches are read")
        return next
    }
}
