internal import Dispatch
internal import Glibc

/// Tells five times a second how long a file has become that LMDB is writing.
final class FileGrowth {
    private let timer: any DispatchSourceTimer

    init(_ path: String, _ report: @Sendable @escaping (_ byteCount: Int) -> Void) {
        timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + .milliseconds(200), repeating: .milliseconds(200))
        timer.setEventHandler { report(Self.length(of: path)) }
        timer.resume()
    }

    deinit { timer.cancel() }

    /// In bytes; −1 where there is no such file.
    static func length(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : -1
    }
}
