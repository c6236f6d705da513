internal import CLMDB
internal import Glibc

extension Environment {
    /// From now on a page fault in the map fetches that page and none of its neighbours, for everybody in this process, as if
    /// the environment had been opened with `MDB_NORDAHEAD`. Who reads much asks for it ahead, with `Cursor.willNeedValue`.
    ///
    /// LMDB does not say where its map begins. Each page of a tree begins with its own number, though, so the page that `value`
    /// stands in tells: one shorter than half a page, which LMDB keeps within its tree.
    ///
    /// - Throws: `corrupted` where that number cannot be.
    public func expectScatteredReads(_ value: borrowing RawSpan) throws(LMDBError) {
        let information = information()
        try unsafe value.withUnsafeBytes { (bytes) throws(LMDBError) in
            guard let start = bytes.baseAddress else { return }
            let page = unsafe UnsafeMutableRawPointer(mutating: start - Int(bitPattern: start) % information.pageByteCount)
            let number = unsafe page.load(as: Int.self)
            guard (0..<information.pageCount).contains(number) else { throw .corrupted }
            unsafe _ = madvise(page - number * information.pageByteCount, information.mapByteCount, MADV_RANDOM)
        }
    }
}
