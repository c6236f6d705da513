import Glibc
import KafkaProtocol

/// One connection that asks and waits, for tests: no pipelining, no reconnecting.
final class WireClient {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let descriptor: Int32
    private var correlationID: Int32 = 0

    /// - Parameter receiveByteCount: what the kernel holds of answers that are not read; nil for its own choice.
    init(port: Int, receiveByteCount: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var receiveByteCount {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveByteCount, socklen_t(MemoryLayout<Int32>.size))
        }
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw Failure(description: "cannot connect to port \(port): \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    /// Sends `request` and returns the answer to it. `records`: what its slices are of.
    func ask<R: Request>(_ request: R, version: Int16 = R.versions.upperBound, records: [UInt8] = []) throws -> R.Response {
        let sent = try send(request, version: version, records: records)
        return try receive(R.self, version: version, correlationID: sent)
    }

    /// Sends `request` without waiting, and returns its correlation id.
    @discardableResult
    func send<R: Request>(_ request: R, version: Int16 = R.versions.upperBound, records: [UInt8] = []) throws -> Int32 {
        correlationID += 1
        try write(encodeRequest(request, correlationID: correlationID, clientID: "test", version: version).joined(with: records.span.bytes))
        return correlationID
    }

    /// The next answer, which must be to the request that bore `correlationID`.
    func receive<R: Request>(_: R.Type, version: Int16 = R.versions.upperBound, correlationID: Int32) throws -> R.Response {
        let frame = try receiveFrame(correlationID: correlationID)
        return try decodeResponse(R.self, version: version, frame.span.bytes)
    }

    /// The bytes of the next answer, which must be to that request.
    func receiveFrame(correlationID: Int32) throws -> [UInt8] {
        let frame = try readFrame()
        guard try responseCorrelationID(frame.span.bytes) == correlationID else {
            throw Failure(description: "an answer to another request")
        }
        return frame
    }

    /// True when the broker closes the connection, with nothing more to read from it.
    func isClosed() -> Bool {
        var byte: UInt8 = 0
        let got = recv(descriptor, &byte, 1, 0)
        return got == 0 || got < 0 && errno == ECONNRESET
    }

    /// Waits until an answer has begun to come, and leaves it to be read.
    func awaitAnswer() throws {
        var byte: UInt8 = 0
        guard recv(descriptor, &byte, 1, Int32(MSG_PEEK)) == 1 else { throw Failure(description: "no answer in time") }
    }

    /// Lets reads give up after a while in which nothing came.
    func setPatience(milliseconds: Int) {
        var patience = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw Failure(description: "cannot write") }
            rest = rest.dropFirst(count)
        }
    }

    func readFrame() throws -> [UInt8] {
        let size = try read(4).reduce(0) { $0 << 8 | Int($1) }
        return try read(size)
    }

    private func read(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + filled, count - filled, 0) }
            guard got > 0 else { throw Failure(description: got == 0 ? "the broker closed the connection" : "no answer in time") }
            filled += got
        }
        return bytes
    }
}
