internal import KafkaProtocol
internal import NIOCore

/// Cuts what comes off one socket into frames: four bytes of length, then as many of request.
///
/// A frame is allocated at its exact size when its length is known. Memory that nothing was written to is only
/// address space, so a client that announces 100 MB and sends nothing costs nothing.
struct FrameAssembly {
    enum Outcome {
        /// All bytes are used up, and the frame is not whole.
        case incomplete
        case frame(Frame)
        /// The announced length, which is negative or above the limit. The stream has no next frame.
        case refused(Int32)
    }

    /// `socket.request.max.bytes`
    let byteCountMax: Int
    private var length: UInt32 = 0
    private var lengthBytes = 0
    private var frame: Frame?
    private var filled = 0

    init(byteCountMax: Int) { self.byteCountMax = byteCountMax }

    /// True between the first byte of a frame and its last.
    var isWithinFrame: Bool { lengthBytes > 0 || frame != nil }

    /// Bytes of the frame in hand that are still to come; 0 outside a frame.
    var missing: Int { frame.map { $0.byteCount - filled } ?? 0 }

    /// Lets `receive` put what comes next straight into its place in the frame. It returns how many bytes it wrote, 0 or
    /// less for none. `incomplete` also where there is no frame in hand.
    mutating func fill(_ receive: (UnsafeMutableRawBufferPointer) -> Int) -> Outcome {
        guard let frame else { return .incomplete }
        filled += max(frame.withUnsafeMutableBytes { receive(UnsafeMutableRawBufferPointer(rebasing: $0[filled...])) }, 0)
        return whole(frame)
    }

    /// Takes bytes until a frame is whole or none are left. Each is copied once, into its place.
    mutating func take(_ bytes: inout ByteBuffer) -> Outcome {
        if frame == nil {
            guard let length = takeLength(&bytes) else { return .incomplete }
            guard length >= 0, Int(length) <= byteCountMax else { return .refused(length) }
            frame = Frame(byteCount: Int(length))
            filled = 0
        }
        guard let frame else { return .incomplete }
        let count = min(frame.byteCount - filled, bytes.readableBytes)
        if count > 0 {
            bytes.withUnsafeReadableBytes { source in
                frame.withUnsafeMutableBytes { target in
                    UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + count)])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
                }
            }
            bytes.moveReaderIndex(forwardBy: count)
            filled += count
        }
        return whole(frame)
    }

    private mutating func whole(_ frame: Frame) -> Outcome {
        guard filled == frame.byteCount else { return .incomplete }
        self.frame = nil
        return .frame(frame)
    }

    private mutating func takeLength(_ bytes: inout ByteBuffer) -> Int32? {
        if lengthBytes == 0, let whole = bytes.readInteger(as: Int32.self) { return whole }
        while lengthBytes < 4, let byte = bytes.readInteger(as: UInt8.self) {
            length = length << 8 | UInt32(byte)
            lengthBytes += 1
        }
        guard lengthBytes == 4 else { return nil }
        defer { (length, lengthBytes) = (0, 0) }
        return Int32(bitPattern: length)
    }
}
