internal import Glibc
internal import KafkaProtocol
internal import NIOCore

/// Joins answers for one gathered write: messages and short runs of records are copied together, long runs of records go as
/// they are between them, from a buffer or from the map.
struct AnswerWriter {
    private enum Run {
        case copied(ByteBuffer)
        case lent(UnsafeRawBufferPointer)
    }

    /// Copying less than this costs less than one more element of the gathered write.
    private static let joinedBytesMax = 4096

    /// No more answers go into a write that has so many bytes. A buffer holds 4 GiB.
    static let gatheredBytesMax = 64 << 20

    private static let sendFlags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)

    private var joined: ByteBuffer
    /// Where in `joined`, counted from its start, runs of records belong.
    private var runs: [(at: Int, run: Run)] = []
    /// They keep the lent runs in their places.
    private var lenders: [AnswerRecords] = []
    private(set) var byteCount = 0
    private(set) var admittedBytes = 0
    private let allocator: ByteBufferAllocator

    init(allocator: ByteBufferAllocator) {
        self.allocator = allocator
        joined = ByteBuffer()
    }

    /// Answers that are ready, as far as they make one write; nil where there is nothing to write.
    init?(taking answers: inout AnswerQueue, allocator: ByteBufferAllocator) {
        self.init(allocator: allocator)
        while byteCount < Self.gatheredBytesMax, let answer = answers.next() { add(answer) }
        guard byteCount > 0 else { return nil }
    }

    mutating func add(_ answer: Answer) {
        admittedBytes += answer.admittedBytes
        guard let message = answer.message else { return }
        byteCount += message.byteCount
        if joined.capacity == 0 { joined = allocator.buffer(capacity: max(message.bytes.count, 512)) }
        guard !message.insertions.isEmpty else {
            joined.writeBytes(message.bytes)
            return
        }
        if answer.records.isLent { lenders.append(answer.records) }
        message.bytes.withUnsafeBytes { bytes in
            var position = 0
            var place = AnswerRecords.Place()
            for insertion in message.insertions {
                joined.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[position..<insertion.at]))
                position = insertion.at
                if answer.records.isLent {
                    answer.records.forEachPiece(of: insertion.slice, from: &place) { add($0) }
                } else {
                    add(insertion.slice, of: answer.records.copy)
                }
            }
            joined.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[position...]))
        }
    }

    private mutating func add(_ piece: UnsafeRawBufferPointer) {
        if piece.count <= Self.joinedBytesMax { joined.writeBytes(piece) } else { runs.append((joined.readableBytes, .lent(piece))) }
    }

    private mutating func add(_ slice: FrameSlice, of records: ByteBuffer) {
        let start = records.readerIndex + slice.offset
        guard let run = records.getSlice(at: start, length: slice.length) else {
            preconditionFailure("an answer names records that it does not hold")
        }
        if slice.length <= Self.joinedBytesMax {
            joined.writeImmutableBuffer(run)
        } else {
            runs.append((joined.readableBytes, .copied(run)))
        }
    }

    /// All in its order.
    private func forEachPart(_ body: (Run) -> Void) {
        var position = 0
        for run in runs {
            if run.at > position, let part = joined.getSlice(at: position, length: run.at - position) { body(.copied(part)) }
            position = run.at
            body(run.run)
        }
        if joined.readableBytes > position, let rest = joined.getSlice(at: position, length: joined.readableBytes - position) {
            body(.copied(rest))
        }
    }

    /// Hands over the buffers in their order, what is lent as copies. The first `sent` bytes are left out.
    func write(from sent: Int = 0, _ body: (ByteBuffer) -> Void) {
        defer { withExtendedLifetime(lenders) {} }
        var left = sent
        forEachPart { part in
            switch part {
            case .copied(var buffer):
                let passed = min(left, buffer.readableBytes)
                buffer.moveReaderIndex(forwardBy: passed)
                left -= passed
                if buffer.readableBytes > 0 { body(buffer) }
            case .lent(let bytes):
                let passed = min(left, bytes.count)
                left -= passed
                if passed < bytes.count { body(allocator.copy(bytes[passed...])) }
            }
        }
    }

    /// Has `socket` take as much as it takes without waiting, each part from where it stands, and returns how many bytes that was.
    /// An error of the socket is left for whoever writes next to find. `vectorCountMax`: parts that the kernel takes with one call
    /// (`IOV_MAX`).
    func send(to socket: NIOBSDSocket.Handle, vectorCountMax: Int = 1024) -> Int {
        // Most answers are one part.
        guard !runs.isEmpty else { return joined.withUnsafeReadableBytes { max(Glibc.send(socket, $0.baseAddress, $0.count, Self.sendFlags), 0) } }
        defer { withExtendedLifetime((lenders, runs, joined)) {} }
        var vectors: [iovec] = []
        forEachPart { part in
            switch part {
            // The bytes of a buffer stay where they are while this holds it and nobody writes to it.
            case .copied(let buffer): buffer.withUnsafeReadableBytes { vectors.append(iovec($0)) }
            case .lent(let bytes): vectors.append(iovec(bytes))
            }
        }
        var sent = 0
        var wanted = 0
        var index = 0
        while index < vectors.count, sent == wanted {
            let count = min(vectors.count - index, vectorCountMax)
            wanted += vectors[index..<(index + count)].reduce(0) { $0 + $1.iov_len }
            sent += vectors.withUnsafeMutableBufferPointer { vectors in
                var message = msghdr()
                message.msg_iov = vectors.baseAddress.map { $0 + index }
                message.msg_iovlen = count
                return max(sendmsg(socket, &message, Self.sendFlags), 0)
            }
            index += count
        }
        return sent
    }
}

extension ByteBufferAllocator {
    fileprivate func copy(_ bytes: Slice<UnsafeRawBufferPointer>) -> ByteBuffer {
        var buffer = buffer(capacity: bytes.count)
        buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes))
        return buffer
    }
}

extension iovec {
    fileprivate init(_ bytes: UnsafeRawBufferPointer) {
        self.init(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    }
}
