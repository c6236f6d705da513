internal import Logging
internal import NIOCore
internal import Synchronization

/// Log lines that clients can cause, a few of each kind in a while, so that nobody fills the disk through them.
final class RateLimitedLog: Sendable {
    enum Reason: String, CaseIterable {
        case frameLength = "frame of impossible length"
        case brokenRequest = "broken request"
        case unknownApi = "unknown API"
        case unsupportedVersion = "unsupported version"
        case tooManyConnections = "too many connections"
        case tooManyFromHost = "too many connections from one address"
        case idle = "idle connection"
        case acksZeroFailed = "failed produce without acknowledgement"
        case groupsFull = "members that groups have no room for"
        case unwrittenGroup = "groups that could not be written"
        case unwrittenTransaction = "transactions that could not be written"
        case timedOutTransaction = "transactions that have outlived their timeout"
        case unreadable = "records that could not be read"
        case network = "network error"
        case defect = "defect"
    }

    private struct Window {
        var start: NIODeadline
        var lines = 0
        var suppressed = 0
    }

    private static let linesPerWindow = 10
    private static let windowLength = TimeAmount.seconds(10)

    private let logger: Logger
    private let windows = Mutex<[Reason: Window]>([:])

    init(_ logger: Logger) { self.logger = logger }

    func warning(_ reason: Reason, _ message: @autoclosure () -> String) { line(.warning, reason, message()) }
    func info(_ reason: Reason, _ message: @autoclosure () -> String) { line(.info, reason, message()) }
    func error(_ reason: Reason, _ message: @autoclosure () -> String) { line(.error, reason, message()) }

    private func line(_ level: Logger.Level, _ reason: Reason, _ message: @autoclosure () -> String) {
        let now = NIODeadline.now()
        let (mayWrite, suppressed) = windows.withLock { windows in
            var window = windows[reason] ?? Window(start: now)
            var suppressed = 0
            if now - window.start > Self.windowLength {
                suppressed = window.suppressed
                window = Window(start: now)
            }
            window.lines += 1
            let mayWrite = window.lines <= Self.linesPerWindow
            if !mayWrite { window.suppressed += 1 }
            windows[reason] = window
            return (mayWrite, suppressed)
        }
        if suppressed > 0 { logger.log(level: level, "\(suppressed) lines about \(reason.rawValue) were left out") }
        if mayWrite { logger.log(level: level, "\(message())") }
    }
}
