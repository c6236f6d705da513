internal import CLMDB
internal import Glibc

extension Environment {
    /// How many pages of the last commit are not in the file, because it was cut off: LMDB itself would look for them in its map, where
    /// the first such look ends the process (`SIGBUS`).
    ///
    /// Opening has looked at the two meta pages and no other, and this looks at the file without the map. A file that is shorter than LMDB
    /// counts pages may be whole: what a transaction takes at the end of the file and gives up itself is never written. Those pages stand in
    /// the free list, and are not missed.
    public func missingPageCount() throws(LMDBError) -> Int {
        while true {
            // Keeps the pages of the free list from being filled with something else.
            let snapshot = try snapshot()
            let count = try missingPageCount(ofCommit: snapshot.transactionID)
            // Another commit may have grown the file, or have taken the meta page for itself.
            if count == 0 || information().lastTransactionID == snapshot.transactionID { return count }
        }
    }

    private func missingPageCount(ofCommit transactionID: Int) throws(LMDBError) -> Int {
        let information = information()
        let file = try PageFile(self, information)
        let missing = information.pageCount - file.pageCount
        if missing <= 0 { return 0 }
        do {
            guard let root = try file.freeListRoot(ofCommit: transactionID) else { return missing }
            return missing - (try file.freePageCount(from: file.pageCount, under: root))
        } catch {
            // The free list itself is not all there.
            if error == .corrupted { return missing }
            throw error
        }
    }
}

/// The file of an environment, read as LMDB 0.9 lays it out on a 64-bit machine.
///
///     page, 16 bytes of head     number (8), unused (2), flags (2), end of the node table (2), unused (2)
///     meta page, behind that     magic (4), version (4), unused (16), free list and main tree (48 each, the root in the last 8),
///                                last page (8), transaction (8)
///     branch and leaf            the places of nodes (2 each); branch node: page (6), key length (2), key; leaf node: value length (4),
///                                flags (2), key length (2), key, value or the number (8) of its first page
private struct PageFile {
    private let descriptor: Int32
    private let pageByteCount: Int
    /// Whole pages.
    let pageCount: Int

    private static let headByteCount = 16
    private static let metaPageCount = 2
    private static let isBranch = 0x01
    private static let isBig = 0x01
    /// As LMDB's own cursors.
    private static let depthMax = 32

    init(_ environment: Environment, _ information: EnvironmentInformation) throws(LMDBError) {
        var descriptor: Int32 = -1
        try unsafe check(mdb_env_get_fd(environment.handle, &descriptor))
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw LMDBError(code: errno) }
        self.descriptor = descriptor
        pageByteCount = information.pageByteCount
        pageCount = Int(status.st_size) / pageByteCount
    }

    /// Nil where the meta page is another commit's by now.
    func freeListRoot(ofCommit transactionID: Int) throws(LMDBError) -> Int? {
        for page in 0..<Self.metaPageCount {
            let meta = try read(page, Self.headByteCount, 136)
            if try Self.number(meta, 128, 8) == transactionID { return try Self.number(meta, 64, 8) }
        }
        return nil
    }

    /// How many pages from number `first` on are listed in the part of the free list that begins at the page `root`, −1 for none.
    func freePageCount(from first: Int, under root: Int, depth: Int = 1) throws(LMDBError) -> Int {
        if root == -1 { return 0 }
        guard depth <= Self.depthMax else { throw .corrupted }
        let page = try read(root, 0, pageByteCount)
        let isBranch = try Self.number(page, 10, 2) & Self.isBranch != 0
        let end = try Self.number(page, 12, 2)
        var count = 0
        for place in stride(from: Self.headByteCount, to: end, by: 2) {
            let node = try Self.number(page, place, 2)
            if isBranch {
                count += try freePageCount(from: first, under: Self.number(page, node, 6), depth: depth + 1)
            } else {
                let pages = try list(of: node, page)
                for index in stride(from: 8, to: pages.count, by: 8) where try Self.number(pages, index, 8) >= first { count += 1 }
            }
        }
        return count
    }

    /// A row of the free list: how many pages, and which.
    private func list(of node: Int, _ page: [UInt8]) throws(LMDBError) -> [UInt8] {
        let byteCount = try Self.number(page, node, 4)
        let value = node + 8 + (try Self.number(page, node + 6, 2))
        if try Self.number(page, node + 4, 2) & Self.isBig != 0 { return try read(Self.number(page, value, 8), Self.headByteCount, byteCount) }
        guard value + byteCount <= page.count else { throw .corrupted }
        return Array(page[value..<(value + byteCount)])
    }

    /// So many bytes of a page and those behind it. `corrupted` where the file does not have them.
    private func read(_ page: Int, _ offset: Int, _ byteCount: Int) throws(LMDBError) -> [UInt8] {
        guard (0..<pageCount).contains(page), page * pageByteCount + offset + byteCount <= pageCount * pageByteCount else { throw .corrupted }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, byteCount, page * pageByteCount + offset) }
        guard count == byteCount else { throw count < 0 ? LMDBError(code: errno) : .corrupted }
        return bytes
    }

    /// In the machine's byte order, least significant first.
    private static func number(_ bytes: [UInt8], _ offset: Int, _ byteCount: Int) throws(LMDBError) -> Int {
        guard offset + byteCount <= bytes.count else { throw .corrupted }
        return bytes[offset..<(offset + byteCount)].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
}
