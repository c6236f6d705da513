internal import CLMDB

/// A read-only view of one committed state.
///
/// What is read in it are spans of the map, valid while the snapshot is neither parked nor renewed: the
/// compiler refuses a span that would outlive it. A snapshot pins the pages it sees, and a pinned page makes
/// the file grow; hold none across an await or a write to a socket that may wait.
@safe public struct Snapshot: ~Copyable, @unchecked Sendable {
    // Unchecked: under MDB_NOTLS a reader may move between threads, and being non-copyable it has one owner.
    let handle: OpaquePointer
    /// Kept open for as long as anyone looks into it. Unmanaged, since `commit()` can discard only plain values.
    private let environment: Unmanaged<Environment>

    init(_ environment: Environment) throws(LMDBError) {
        var begun: OpaquePointer?
        try unsafe check(mdb_txn_begin(environment.handle, nil, UInt32(MDB_RDONLY), &begun))
        guard let transaction = unsafe begun else { throw LMDBError(code: MDB_PANIC) }
        unsafe handle = transaction
        unsafe self.environment = .passRetained(environment)
    }

    deinit {
        unsafe mdb_txn_abort(handle)
        unsafe environment.release()
    }

    /// Lets go of the pages but keeps the reader slot.
    public mutating func park() { unsafe mdb_txn_reset(handle) }

    /// Moves on to the last committed state. The snapshot must be parked.
    public mutating func renew() throws(LMDBError) { try unsafe check(mdb_txn_renew(handle)) }

    /// Ends the snapshot and keeps the database handles opened in it for the environment.
    public consuming func commit() throws(LMDBError) {
        let transaction = unsafe handle
        let environment = unsafe environment
        discard self
        defer { unsafe environment.release() }
        try unsafe check(mdb_txn_commit(transaction))
    }

    /// The number of the transaction that wrote what is seen.
    public var transactionID: Int { Int(unsafe mdb_txn_id(handle)) }

    /// Opens a database that must exist already. To be called before the environment is shared between threads.
    public borrowing func database(_ name: String, _ order: KeyOrder = .bytes) throws(LMDBError) -> Database {
        try unsafe openDatabase(handle, name, order.flags)
    }

    /// The value under `key`, straight from the map.
    @_lifetime(borrow self)
    public borrowing func value(_ key: some Key, in database: Database) throws(LMDBError) -> RawSpan? {
        guard let bytes = try unsafe lookup(handle, key, database) else { return nil }
        let span = unsafe RawSpan(_unsafeBytes: bytes)
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    @_lifetime(borrow self)
    public borrowing func cursor(in database: Database) throws(LMDBError) -> Cursor {
        let cursor = try unsafe Cursor(handle, database)
        return unsafe _overrideLifetime(cursor, borrowing: self)
    }

    public borrowing func statistics(of database: Database) throws(LMDBError) -> DatabaseStatistics {
        try unsafe databaseStatistics(handle, database)
    }
}

func openDatabase(_ transaction: OpaquePointer, _ name: String, _ flags: UInt32) throws(LMDBError) -> Database {
    var index: MDB_dbi = 0
    try unsafe check(mdb_dbi_open(transaction, name, flags, &index))
    return Database(index: index)
}

func lookup(_ transaction: OpaquePointer, _ key: some Key, _ database: Database) throws(LMDBError) -> UnsafeRawBufferPointer? {
    var value = unsafe MDB_val()
    let code = unsafe key.withKeyBytes { bytes in
        var key = unsafe MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
        return unsafe mdb_get(transaction, database.index, &key, &value)
    }
    if code == MDB_NOTFOUND { return nil }
    try check(code)
    return unsafe UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size)
}
