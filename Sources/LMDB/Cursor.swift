internal import CLMDB
internal import Glibc

/// A place in one database. After a move that returns true, `key` and `value` show what stands there.
@safe public struct Cursor: ~Copyable, ~Escapable {
    private let handle: OpaquePointer
    private var currentKey = unsafe MDB_val()
    private var currentValue = unsafe MDB_val()

    @_lifetime(immortal)
    init(_ transaction: OpaquePointer, _ database: Database) throws(LMDBError) {
        var opened: OpaquePointer?
        try unsafe check(mdb_cursor_open(transaction, database.index, &opened))
        guard let cursor = unsafe opened else { throw LMDBError(code: MDB_PANIC) }
        unsafe handle = cursor
    }

    deinit { unsafe mdb_cursor_close(handle) }

    public enum Step: Sendable {
        case first, last, next, previous

        var operation: MDB_cursor_op {
            switch self {
            case .first: MDB_FIRST
            case .last: MDB_LAST
            case .next: MDB_NEXT
            case .previous: MDB_PREV
            }
        }
    }

    /// False at the end (or before the beginning) of the database.
    @_lifetime(self: copy self)
    public mutating func move(_ step: Step) throws(LMDBError) -> Bool {
        var found = unsafe (key: MDB_val(), value: MDB_val())
        let code = unsafe mdb_cursor_get(handle, &found.key, &found.value, step.operation)
        unsafe currentKey = found.key
        unsafe currentValue = found.value
        return try isFound(code)
    }

    /// Moves to `key` or to the first key after it.
    @_lifetime(self: copy self)
    public mutating func seek(_ key: some Key) throws(LMDBError) -> Bool {
        var found = unsafe (key: MDB_val(), value: MDB_val())
        let cursor = unsafe handle
        let code = unsafe key.withKeyBytes { bytes in
            unsafe found.key = MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
            return unsafe mdb_cursor_get(cursor, &found.key, &found.value, MDB_SET_RANGE)
        }
        unsafe currentKey = found.key
        unsafe currentValue = found.value
        return try isFound(code)
    }

    public var key: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(currentKey.mv_data), byteCount: currentKey.mv_size)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    public var value: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(currentValue.mv_data), byteCount: currentValue.mv_size)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Has the kernel fetch the value's pages, or those of its first `byteCount` bytes, if they are not in memory, while the caller
    /// does something else.
    public func willNeedValue(byteCount: Int = .max) {
        unsafe MapAdvice.willNeed.give(of: UnsafeRawBufferPointer(start: currentValue.mv_data, count: min(byteCount, currentValue.mv_size)))
    }

    /// Removes what the cursor stands on; only in a write transaction. `move(.next)` then goes to what followed it.
    @_lifetime(self: copy self)
    public mutating func delete() throws(LMDBError) { try unsafe check(mdb_cursor_del(handle, 0)) }
}

private func isFound(_ code: Int32) throws(LMDBError) -> Bool {
    if code == MDB_NOTFOUND { return false }
    try check(code)
    return true
}
