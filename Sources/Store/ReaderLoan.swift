internal import LMDB

/// A reader lent for longer than a call, by `Store.lendReader`. What its reads handed to a sink stays in its place until the loan goes, or
/// the reader takes another snapshot; so the loan pins pages of the store, and must not be held while waiting for anybody.
public final class ReaderLoan: @unchecked Sendable {
    // Unchecked: whoever holds the loan is the only one to use its reader, one thread after the other.
    public let reader: LogReader
    private let pool: ReaderPool

    init(_ reader: LogReader, of pool: ReaderPool) {
        self.reader = reader
        self.pool = pool
    }

    /// Has the kernel read what it has not in memory of `bytes`, which the reader has found, before this returns. False if it cannot.
    public func bringIn(_ bytes: UnsafeRawBufferPointer) -> Bool { MapAdvice.populate.give(of: bytes) }

    deinit { pool.takeBack(reader) }
}
