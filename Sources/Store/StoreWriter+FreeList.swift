internal import LMDB

/// Commits take free pages from the rows at the front of LMDB's free list, and merge as many rows as it takes to find a run that is long
/// enough. Each commit adds a row of its own, so pages that adjoin come to stand in rows far apart; then many rows are merged, and
/// written back, by every commit. While nobody waits, once that takes long, or when it is quickly done and much is being written, one commit
/// has LMDB merge and sort the front of the list.
extension StoreWriter {
    /// Whether it is time to look at the free list, as soon as the committer has nothing else to do.
    var isJoiningDue: Bool {
        guard case .serving = state else { return false }
        return freeListUpkeep.isDue(lastTransactionID: environment.information().lastTransactionID, nowNs: monotonicNs())
    }

    /// Whether to join even while somebody waits, because commits take long for want of it.
    var mustJoinFreePages: Bool { sizing.isSearchLong && isJoiningDue }

    /// What is done before a commit, for which somebody waits.
    ///
    /// - Throws: what went wrong with the commit.
    func joinFreePagesBeforeCommit() throws(LMDBError) {
        if mustJoinFreePages { return try joinFreePages() }
        guard freeListUpkeep.wasMuchWritten, isJoiningDue else { return }
        let startedNs = monotonicNs()
        guard let front = try? environment.shortFreeList() else { return freeListUpkeep.wasTooLong() }
        try join(front, attempts: 1, sinceNs: startedNs)
    }

    /// Joins the front of the free list where that would leave it in far fewer rows or pieces. What comes to nothing is left for the next time.
    ///
    /// - Throws: what went wrong with the commit.
    func joinFreePages() throws(LMDBError) {
        let startedNs = monotonicNs()
        try join(try? environment.freeListFront(), attempts: 8, sinceNs: startedNs)
    }

    private func join(_ front: FreeListFront?, attempts: Int, sinceNs startedNs: UInt64) throws(LMDBError) {
        defer { freeListUpkeep.looked(lastTransactionID: environment.information().lastTransactionID, fromNs: startedNs, toNs: monotonicNs()) }
        guard let front, front.isScattered(lengthMin: sizing.pages) else { return }
        guard try environment.joinFreePages(of: front, lengthMin: sizing.pages, in: databases.meta, attempts: attempts) else { return }
        let ms = (monotonicNs() - startedNs) / 1_000_000
        options.onEvent(
            StoreEvent(
                severity: .debug,
                message: "joined \(front.pageCount) pages in \(front.rowCount) rows of the free list, in \(ms) ms"))
        sizing.freeListWasJoined()
    }
}
