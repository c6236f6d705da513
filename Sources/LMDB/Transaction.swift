internal import CLMDB

/// The one write transaction. Consumed by `commit()`; dropped uncommitted, it aborts.
@safe public struct Transaction: ~Copyable {
    let handle: OpaquePointer

    init(_ environment: Environment) throws(LMDBError) {
        var begun: OpaquePointer?
        try unsafe check(mdb_txn_begin(environment.handle, nil, 0, &begun))
        guard let transaction = unsafe begun else { throw LMDBError(code: MDB_PANIC) }
        unsafe handle = transaction
    }

    deinit { unsafe mdb_txn_abort(handle) }

    public var transactionID: Int { Int(unsafe mdb_txn_id(handle)) }

    /// Opens a database, creating it where it is missing.
    public mutating func database(_ name: String, _ order: KeyOrder = .bytes) throws(LMDBError) -> Database {
        try unsafe openDatabase(handle, name, order.flags | UInt32(MDB_CREATE))
    }

    /// The value under `key`, valid until the next change.
    @_lifetime(borrow self)
    public borrowing func value(_ key: some Key, in database: Database) throws(LMDBError) -> RawSpan? {
        guard let bytes = try unsafe lookup(handle, key, database) else { return nil }
        let span = unsafe RawSpan(_unsafeBytes: bytes)
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// Sets the value under `key`, replacing what was there.
    public mutating func put(_ key: some Key, _ value: [UInt8], in database: Database) throws(LMDBError) {
        try unsafe reserve(key, byteCount: value.count, in: database) { bytes in
            unsafe bytes.copyBytes(from: value)
        }
    }

    /// Reserves `byteCount` bytes under `key` and lets `fill` write every one of them in place.
    ///
    /// `last`: the key is greater than every key of the database (`MDB_APPEND`), else LMDB refuses it.
    /// The bytes are in the transaction's own dirty pages: `fill` may read values committed earlier, and must
    /// change nothing in the transaction.
    public mutating func reserve(
        _ key: some Key, byteCount: Int, in database: Database, last: Bool = false, fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(LMDBError) {
        var value = unsafe MDB_val(mv_size: byteCount, mv_data: nil)
        try unsafe put(key, &value, in: database, flags: MDB_RESERVE | (last ? MDB_APPEND : 0))
        unsafe fill(UnsafeMutableRawBufferPointer(start: value.mv_data, count: value.mv_size))
    }

    /// Removes `key`; false where it was not there.
    @discardableResult
    public mutating func delete(_ key: some Key, in database: Database) throws(LMDBError) -> Bool {
        let code = unsafe key.withKeyBytes { bytes in
            var key = unsafe MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
            return unsafe mdb_del(handle, database.index, &key, nil)
        }
        if code == MDB_NOTFOUND { return false }
        try check(code)
        return true
    }

    /// Puts what stands under `key` in one database into another, too, behind everything that is there; false where it is not in `source`,
    /// which the transaction must not have changed: LMDB may write changed pages to the disk, and let go of their memory, to find room.
    public mutating func append(_ key: some Key, from source: Database, to target: Database) throws(LMDBError) -> Bool {
        guard let bytes = try unsafe lookup(handle, key, source) else { return false }
        var value = unsafe MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
        try unsafe put(key, &value, in: target, flags: MDB_APPEND)
        return true
    }

    private func put(_ key: some Key, _ value: inout MDB_val, in database: Database, flags: Int32) throws(LMDBError) {
        let code = unsafe key.withKeyBytes { bytes in
            var key = unsafe MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
            return unsafe mdb_put(handle, database.index, &key, &value, UInt32(flags))
        }
        try check(code)
    }

    /// Removes everything that is in a database, without changing its pages.
    public mutating func empty(_ database: Database) throws(LMDBError) { try unsafe check(mdb_drop(handle, database.index, 0)) }

    /// A cursor that may also delete. Nothing else changes the transaction while it lives.
    @_lifetime(&self)
    public mutating func cursor(in database: Database) throws(LMDBError) -> Cursor {
        let cursor = try unsafe Cursor(handle, database)
        return unsafe _overrideLifetime(cursor, mutating: &self)
    }

    public borrowing func statistics(of database: Database) throws(LMDBError) -> DatabaseStatistics {
        try unsafe databaseStatistics(handle, database)
    }

    /// Writes what was changed, waits until it is on disk, and makes it what snapshots see. A throw means that
    /// none of it happened.
    public consuming func commit() throws(LMDBError) {
        let transaction = unsafe handle
        discard self
        try unsafe check(mdb_txn_commit(transaction))
    }
}
