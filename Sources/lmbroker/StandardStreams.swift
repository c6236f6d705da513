import Glibc
import NIOPosix
import Synchronization

/// What the system says when a stream fails.
struct StreamError: Error, CustomStringConvertible {
    let description: String

    init(_ what: String) { description = "\(what): \(String(cString: strerror(errno)).lowercased())" }
}

/// Ends every wait for input.
final class InputAlarm: Sendable {
    fileprivate let reading: Int32
    private let writing: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw StreamError("no pipe can be made") }
        (reading, writing) = (ends[0], ends[1])
    }

    deinit {
        close(reading)
        close(writing)
    }

    /// Makes the present and every later wait for input end as if the input had. Callable from any thread.
    func ring() { _ = write(writing, [1], 1) }
}

/// Lines of standard input or of a file, read in large blocks by a thread that may wait.
final class LineInput: @unchecked Sendable {
    // Unchecked: one task asks and waits for the answer; the reading thread has the lines only in between.
    let lines = LineBuffer()
    private let descriptor: Int32
    let name: String
    private let alarm: InputAlarm

    /// - Parameter path: `-` for standard input.
    init(_ path: String, until alarm: InputAlarm) throws {
        name = Self.isStandard(path) ? "standard input" : path
        descriptor = Self.isStandard(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        self.alarm = alarm
        guard descriptor >= 0 else { throw StreamError("\(name) cannot be read") }
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    private static func isStandard(_ path: String) -> Bool { path == "-" }

    static func isTerminal(_ path: String) -> Bool { isStandard(path) && isatty(STDIN_FILENO) == 1 }

    /// Of a file; nil where nobody knows how much will come.
    /// - Throws: where it cannot be read.
    static func byteCount(_ path: String) throws -> Int? {
        var status = stat()
        if !isStandard(path), access(path, R_OK) != 0 { throw StreamError("\(path) cannot be read") }
        guard (isStandard(path) ? fstat(STDIN_FILENO, &status) : stat(path, &status)) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    /// Reads more; false at the end.
    func fill() async throws -> Bool {
        try await NIOThreadPool.singleton.runIfActive { [self] in try lines.fill(fetch) > 0 }
    }

    private func fetch(_ room: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            var sources = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: alarm.reading, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&sources, 2, -1) > 0 {
                if sources[1].revents != 0 { return 0 }
                let count = read(descriptor, room.baseAddress, room.count)
                if count >= 0 { return count }
            }
            if errno != EINTR, errno != EAGAIN { throw StreamError("\(name) cannot be read") }
        }
    }
}

/// Standard output, written in large blocks. Whoever writes flushes before waiting for something.
final class StandardOutput {
    /// The reader has gone away; nobody wants the rest.
    struct ReaderGone: Error {}

    private static let blockByteCount = 256 << 10
    private var bytes: [UInt8] = []

    init() { bytes.reserveCapacity(Self.blockByteCount * 2) }

    /// Lets `write` append, and passes on what fills a block.
    func append(_ write: (inout [UInt8]) throws -> Void) throws {
        try write(&bytes)
        if bytes.count >= Self.blockByteCount { try flush() }
    }

    func print(_ line: String) throws {
        try append { bytes in
            bytes.append(contentsOf: line.utf8)
            bytes.append(0x0a)
        }
    }

    func flush() throws {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress.map { $0 + written }, $0.count - written) }
            if count >= 0 {
                written += count
            } else if errno == EPIPE {
                throw ReaderGone()
            } else if errno == EAGAIN {
                // Whoever else has the stream may have set it not to wait.
                var room = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
                _ = poll(&room, 1, -1)
            } else if errno != EINTR {
                throw StreamError("standard output cannot be written")
            }
        }
        bytes.removeAll(keepingCapacity: true)
    }
}

/// Why lines of a report could not be written: told when the command ends, which has failed then.
let lineFailure = Mutex<StreamError?>(nil)

/// Writes a line of a report to standard output. Who went away has read enough.
func putLine(_ text: String) {
    let out = StandardOutput()
    do {
        try out.print(text)
        try out.flush()
    } catch let error as StreamError {
        lineFailure.withLock { $0 = $0 ?? error }
    } catch {}
}
