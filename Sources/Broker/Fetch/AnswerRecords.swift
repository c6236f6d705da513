internal import KafkaProtocol
internal import NIOCore
internal import Store

/// The records of one answer: in their places in the map, while the reader that found them is lent, or copied out of it.
///
/// What leaves from its place is copied once less, by the socket alone. But its pages cannot be used again until then. So the loan lasts to
/// the end of the turn in which the answer is ready, and never waits for the client: what the socket does not take then is copied.
struct AnswerRecords: RecordSink, @unchecked Sendable {
    // Unchecked: the pieces do not change while the loan lasts, and are nobody's after it.
    /// Where nothing is lent.
    private(set) var copy = ByteBuffer()
    /// Where something is lent: what was appended, piece by piece.
    private var pieces: [UnsafeRawBufferPointer] = []
    private var loan: ReaderLoan?
    private let capacity: Int
    private(set) var byteCount = 0

    /// More small pieces than this are copied, and so is what is small altogether: gathering them costs the socket more than the copy.
    private static let smallPieceCountMax = 16
    private static let pieceBytesMin = 16 << 10
    static let lentBytesMin = 64 << 10
    /// About what a socket takes at once (`tcp_wmem`). More would have to be copied by the event loop; the reader does it then.
    static let lentBytesMax = 4 << 20

    /// `capacity`: the bytes to expect.
    init(capacity: Int = 0) { self.capacity = capacity }

    init(copy: ByteBuffer) {
        self.copy = copy
        capacity = copy.readableBytes
        byteCount = capacity
    }

    var isLent: Bool { loan != nil }

    /// From here on, what is appended was read by the reader of `loan`. To be called before anything is.
    mutating func lend(_ loan: ReaderLoan) { self.loan = loan }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        byteCount += bytes.count
        guard isLent else {
            if copy.capacity == 0 { copy = ByteBufferAllocator().buffer(capacity: capacity) }
            copy.writeBytes(bytes)
            return
        }
        pieces.append(bytes)
        if pieces.count > Self.smallPieceCountMax, byteCount < pieces.count * Self.pieceBytesMin { copyOut(capacity: capacity) }
    }

    mutating func snapshotEnds() { copyOut(capacity: capacity) }

    /// All that was to be read has been appended.
    mutating func complete() {
        if !(Self.lentBytesMin...Self.lentBytesMax).contains(byteCount) { copyOut() }
    }

    /// Lets go of the loan.
    mutating func copyOut() { copyOut(capacity: 0) }

    private mutating func copyOut(capacity: Int) {
        guard isLent else { return }
        if byteCount > 0 { copy = ByteBufferAllocator().buffer(capacity: max(capacity, byteCount)) }
        for piece in pieces { copy.writeBytes(piece) }
        pieces = []
        loan = nil
    }

    /// Has what is lent read into memory now, so that the event loop does not wait for the disk when it writes it.
    mutating func bringIn() {
        guard let loan else { return }
        if !pieces.allSatisfy({ loan.bringIn($0) }) { copyOut() }
    }

    /// How far `forEachPiece` has come.
    struct Place {
        fileprivate var index = 0
        fileprivate var offset = 0
    }

    /// What makes up `slice`, which begins at or behind the end of the one before it.
    func forEachPiece(of slice: FrameSlice, from place: inout Place, _ body: (UnsafeRawBufferPointer) -> Void) {
        let end = slice.offset + slice.length
        while place.index < pieces.count, place.offset < end {
            let piece = pieces[place.index]
            // Of a partition that could not be read to its end, there are pieces that no slice is of.
            let first = min(max(slice.offset - place.offset, 0), piece.count)
            let part = first..<min(end - place.offset, piece.count)
            if !part.isEmpty { body(UnsafeRawBufferPointer(rebasing: piece[part])) }
            place.index += 1
            place.offset += piece.count
        }
    }
}
