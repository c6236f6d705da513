internal import CLMDB
internal import Glibc

/// An LMDB return code: one of LMDB's own (negative) or an `errno` (positive).
public struct LMDBError: Error, Equatable, Sendable, CustomStringConvertible {
    public let code: Int32

    public init(code: Int32) { self.code = code }

    public var description: String { unsafe String(cString: mdb_strerror(code)) }

    public static let mapFull = LMDBError(code: MDB_MAP_FULL)
    public static let notFound = LMDBError(code: MDB_NOTFOUND)
    /// The file is no LMDB environment.
    public static let invalid = LMDBError(code: MDB_INVALID)
    public static let versionMismatch = LMDBError(code: MDB_VERSION_MISMATCH)
    /// `ENOSPC`
    public static let noSpace = LMDBError(code: ENOSPC)
    /// `EDQUOT`
    public static let overQuota = LMDBError(code: EDQUOT)
    /// `EIO`; LMDB reports a short write, as on a file system that has just filled up, as this too.
    public static let inputOutput = LMDBError(code: EIO)
    /// Writing a meta page failed: the environment answers nothing any more, not even readers.
    public static let panic = LMDBError(code: MDB_PANIC)
    /// What is stored is not what LMDB, or its caller, wrote.
    public static let corrupted = LMDBError(code: MDB_CORRUPTED)
    public static let keyExists = LMDBError(code: MDB_KEYEXIST)
}

func check(_ code: Int32) throws(LMDBError) {
    guard code == 0 else { throw LMDBError(code: code) }
}
