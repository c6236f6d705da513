internal import KafkaProtocol
internal import NIOCore

/// Joins answers into few buffers for one gathered write: messages and short runs of records are copied together, long
/// runs of records go as they are between them.
struct AnswerWriter {
    /// Copying less than this costs less than one more element of the gathered write.
    private static let joinedBytesMax = 4096

    private var joined: ByteBuffer
    /// Where in `joined`, counted from its start, runs of records belong.
    private var runs: [(at: Int, records: ByteBuffer)] = []
    private(set) var admittedBytes = 0
    private let allocator: ByteBufferAllocator

    init(allocator: ByteBufferAllocator) {
        self.allocator = allocator
        joined = ByteBuffer()
    }

    var isEmpty: Bool { joined.readableBytes == 0 && runs.isEmpty }

    mutating func add(_ answer: Answer) {
        admittedBytes += answer.admittedBytes
        guard let message = answer.message else { return }
        if joined.capacity == 0 { joined = allocator.buffer(capacity: max(message.bytes.count, 512)) }
        guard !message.insertions.isEmpty else {
            joined.writeBytes(message.bytes)
            return
        }
        message.bytes.withUnsafeBytes { bytes in
            var position = 0
            for insertion in message.insertions {
                joined.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[position..<insertion.at]))
                position = insertion.at
                add(insertion.slice, of: answer.records)
            }
            joined.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[position...]))
        }
    }

    private mutating func add(_ slice: FrameSlice, of records: ByteBuffer) {
        let start = records.readerIndex + slice.offset
        guard let run = records.getSlice(at: start, length: slice.length) else {
            preconditionFailure("an answer names records that it does not hold")
        }
        if slice.length <= Self.joinedBytesMax {
            joined.writeImmutableBuffer(run)
        } else {
            runs.append((joined.readableBytes, run))
        }
    }

    /// Hands over the buffers in their order.
    func write(_ body: (ByteBuffer) -> Void) {
        var position = 0
        for run in runs {
            if run.at > position, let part = joined.getSlice(at: position, length: run.at - position) { body(part) }
            position = run.at
            body(run.records)
        }
        if joined.readableBytes > position, let rest = joined.getSlice(at: position, length: joined.readableBytes - position) { body(rest) }
    }
}
