internal import KafkaProtocol
internal import LMDB
internal import Synchronization

extension StoreVerifier {
    /// Records of groups and committed offsets: the form of their keys, their checksums, their place in the journal. What they say
    /// is the coordinator's; offsets of topics that are gone are a sweep's, and no problem.
    mutating func checkGroups(_ image: StoreImage) throws(StoreError) {
        guard let groups = databases.groups else { return }
        for group in image.groups.values {
            group.published.withLock { published in
                if published.isListed { report.groupCount += 1 }
                report.groupRecordCount += published.recordCount
                for key in published.offsets.keys {
                    report.offsetCount += 1
                    if image.topics[key.topicID] == nil { report.passingOffsetCount += 1 }
                }
            }
        }
        let lastSequence = image.journal.lastSequence
        var records = GroupRecordWalk(lastSequence: lastSequence)
        var offsetProblems: [String] = []
        try lmdb("reading the groups and their offsets") { () throws(LMDBError) in
            var cursor = try snapshot.cursor(in: groups.records)
            var more = try cursor.move(.first)
            while more {
                records.check(cursor.key, cursor.value)
                more = try cursor.move(.next)
            }
            cursor = try snapshot.cursor(in: groups.offsets)
            more = try cursor.move(.first)
            while more {
                if let sentence = Self.problem(ofOffset: cursor.key, cursor.value, lastSequence) { offsetProblems.append(sentence) }
                more = try cursor.move(.next)
            }
        }
        records.finish()
        for sentence in records.problems + offsetProblems { problem(sentence) }
    }

    private static func problem(ofOffset bytes: RawSpan, _ value: RawSpan, _ lastSequence: UInt64) -> String? {
        guard let length = GroupOffsetKey.groupByteCount(bytes) else {
            return "a key of the offsets, of \(bytes.byteCount) bytes, is not in its form"
        }
        guard let groupID = text(of: bytes.extracting(1..<(1 + length)).withUnsafeBytes { Array($0) }) else {
            return "a key of the offsets has a group id that is not UTF-8"
        }
        let key = PackedOffsetKey(bytes, at: 1 + length)
        let what = "the offset of group '\(groupID)' for partition \(key.partition) of topic \(key.topicID)"
        let row: OffsetRow
        do { row = try OffsetRow(value, what) } catch { return error.description }
        if key.partition < 0 || key.topicID.isZero { return "\(what) is of no partition that could be" }
        if row.asOf > lastSequence { return "\(what) stands at \(row.asOf), beyond the journal's end at \(lastSequence)" }
        return nil
    }

    fileprivate static func text(of bytes: [UInt8]) -> String? { String(validating: bytes, as: UTF8.self) }
}

/// What the walk over the records of groups has seen so far.
private struct GroupRecordWalk {
    let lastSequence: UInt64
    var problems: [String] = []
    /// The value whose parts are being read.
    private var last: GroupRecordKey?
    private var name = ""
    private var missing = 0

    init(lastSequence: UInt64) { self.lastSequence = lastSequence }

    mutating func check(_ bytes: RawSpan, _ value: RawSpan) {
        guard let key = GroupRecordKey(bytes) else {
            return problems.append("a key of the groups, of \(bytes.byteCount) bytes, is not in its form")
        }
        let isNext = last.map { $0.groupID == key.groupID && $0.key == key.key && Int($0.part) + 1 == Int(key.part) } ?? false
        if key.part == 0 { finish() }
        guard let groupID = StoreVerifier.text(of: key.groupID) else {
            return problems.append("a key of the groups has a group id that is not UTF-8")
        }
        name = "a record of group '\(groupID)' (its key begins with \(key.key.prefix(8)))"
        last = key
        let row: GroupRecordRow
        do { row = try GroupRecordRow(value, name) } catch {
            missing = 0
            return problems.append(error.description)
        }
        if row.asOf > lastSequence { problems.append("\(name) stands at \(row.asOf), beyond the journal's end at \(lastSequence)") }
        if key.part == 0 {
            missing = Int(row.totalByteCount)
        } else if !isNext || missing <= 0 {
            missing = 0
            return problems.append("\(name) has a part \(key.part) that belongs to nothing")
        }
        missing -= row.bytes.count
        if missing < 0 {
            problems.append("\(name) is \(-missing) bytes longer than it says")
            missing = 0
        }
    }

    /// The value read last has no more parts.
    mutating func finish() {
        if missing > 0 { problems.append("\(name) lacks its last \(missing) bytes") }
        missing = 0
        last = nil
    }
}
