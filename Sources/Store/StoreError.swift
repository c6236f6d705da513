public import KafkaProtocol
internal import LMDB

/// What can go wrong with a store while it is used as it should be.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The offset asked for is below the log start offset or beyond the high watermark.
    case offsetOutOfRange
    /// No room: the disk budget is used up or the file system is full. Deleting topics or records makes room.
    case full(String)
    /// A write or sync failed; nothing more is written until the store is opened again.
    case stopped(String)
    /// What is on disk is not what was written.
    case corrupt(String)
    /// The directory cannot be opened as a store: in use, of a newer format, not a store, …
    case cannotOpen(String)
    /// More than the store keeps in one piece.
    case tooLarge(String)
    /// What the state of a transaction or a partition does not allow, with the protocol's code for it.
    case refused(ErrorCode, String)
    /// The operating system or LMDB refused something else.
    case system(String)

    public var description: String {
        switch self {
        case .offsetOutOfRange: "the offset is out of range"
        case .full(let sentence), .stopped(let sentence), .cannotOpen(let sentence), .tooLarge(let sentence), .system(let sentence):
            sentence
        case .refused(_, let sentence): sentence
        case .corrupt(let sentence): "the store is damaged: \(sentence)"
        }
    }

    /// The protocol's answer.
    public var errorCode: ErrorCode {
        switch self {
        case .offsetOutOfRange: .offsetOutOfRange
        case .tooLarge: .messageTooLarge
        case .refused(let code, _): code
        case .full, .stopped, .corrupt, .cannotOpen, .system: .kafkaStorageError
        }
    }

    init(_ error: LMDBError, _ doing: String) {
        self = error == .corrupted ? .corrupt("\(doing): what stands there is not what was written") : .system("\(doing): \(error)")
    }
}

/// Runs `body`, putting LMDB's errors into words.
func lmdb<R: ~Copyable>(_ doing: @autoclosure () -> String, _ body: () throws(LMDBError) -> R) throws(StoreError) -> R {
    do { return try body() } catch { throw StoreError(error, doing()) }
}
