import KafkaProtocol
import NIOCore

/// Cuts the bytes of a socket into response frames. Each frame's bytes are copied once, from the receive buffer to
/// where they stay.
struct FrameAssembler {
    enum Failure: Error { case impossibleLength(Int) }

    /// Longest response accepted, in bytes; a length beyond it is a peer that does not speak this protocol.
    let byteCountMax: Int
    private var lengthBytes: UInt32 = 0
    private var lengthBytesSeen = 0
    private var frame: Frame?
    private var filled = 0

    init(byteCountMax: Int) { self.byteCountMax = byteCountMax }

    /// The next whole frame, or nil when `buffer` is used up.
    mutating func next(from buffer: inout ByteBuffer) throws(Failure) -> Frame? {
        guard let frame = try openFrame(from: &buffer) else { return nil }
        let taken = min(frame.byteCount - filled, buffer.readableBytes)
        if taken > 0 {
            buffer.readWithUnsafeReadableBytes { source in
                frame.withUnsafeMutableBytes { target in
                    let from = UnsafeRawBufferPointer(rebasing: source[..<taken])
                    UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + taken)]).copyMemory(from: from)
                }
                return taken
            }
            filled += taken
        }
        guard filled == frame.byteCount else { return nil }
        self.frame = nil
        filled = 0
        return frame
    }

    /// The frame being filled; a new one once its four bytes of length are there.
    private mutating func openFrame(from buffer: inout ByteBuffer) throws(Failure) -> Frame? {
        if let frame { return frame }
        while lengthBytesSeen < 4 {
            guard let byte = buffer.readInteger(as: UInt8.self) else { return nil }
            lengthBytes = lengthBytes << 8 | UInt32(byte)
            lengthBytesSeen += 1
        }
        let length = Int(Int32(bitPattern: lengthBytes))
        (lengthBytes, lengthBytesSeen) = (0, 0)
        // The shortest response is a header with nothing but its correlation id.
        guard (4...byteCountMax).contains(length) else { throw .impossibleLength(length) }
        let fresh = Frame(byteCount: length)
        frame = fresh
        return fresh
    }
}
