import FoundationEssentials
import KafkaClient

/// What a reset changes: for each partition the offset before and after.
struct OffsetPlan {
    struct Row: Equatable {
        var partition: TopicPartition
        /// Nil when nothing is committed.
        var current: Int64?
        var new: Int64
        var end: Int64
        /// What was asked for was not within the partition.
        var isClamped: Bool
    }

    let group: String
    let rows: [Row]

    init(
        group: String, wanted: [TopicPartition: Int64], current: [TopicPartition: Int64], first: [TopicPartition: Int64],
        end: [TopicPartition: Int64]
    ) {
        self.group = group
        rows = wanted.sorted { ($0.key.topic, $0.key.partition) < ($1.key.topic, $1.key.partition) }.map { partition, offset in
            let end = end[partition] ?? offset
            let new = min(max(offset, first[partition] ?? 0), end)
            return Row(partition: partition, current: current[partition], new: new, end: end, isClamped: new != offset)
        }
    }

    static var nowMs: Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

    var positions: [TopicPartition: OffsetPosition] {
        Dictionary(rows.map { ($0.partition, OffsetPosition(offset: $0.new)) }) { first, _ in first }
    }

    var lines: [String] {
        var table = TextTable("TOPIC", "PARTITION", "COMMITTED", "NEW", "END", "LAG", "")
        for row in rows {
            table.add(
                row.partition.topic, "\(row.partition.partition)", row.current.map(String.init) ?? "-", "\(row.new)", "\(row.end)",
                Figures.count(Int(row.end - row.new)), row.isClamped ? "as near as there is" : "")
        }
        return table.lines
    }

    func json(isDryRun: Bool) -> String {
        let offsets = rows.map { row in
            "{\"topic\":\(JSONText.quoted(row.partition.topic)),\"partition\":\(row.partition.partition)"
                + ",\"committed_offset\":\(row.current.map(String.init) ?? "null"),\"new_offset\":\(row.new),\"end_offset\":\(row.end)}"
        }
        return "{\"group\":\(JSONText.quoted(group)),\"dry_run\":\(isDryRun),\"offsets\":[\(offsets.joined(separator: ","))]}"
    }
}

/// A file of offsets: `topic,partition,offset` on each line, as Kafka's own tool exports them.
enum OffsetFile {
    static func read(_ path: String) throws -> [TopicPartition: Int64] {
        guard let data = FileManager.default.contents(atPath: path) else { throw ClientError.invalid("the file \(path) cannot be read") }
        return try parse(String(decoding: data, as: UTF8.self), name: path)
    }

    static func parse(_ text: String, name: String) throws(ClientError) -> [TopicPartition: Int64] {
        var offsets: [TopicPartition: Int64] = [:]
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = line.trimming(\.isWhitespace)
            if line.isEmpty || line.hasPrefix("#") { continue }
            let parts = line.split(separator: ",", omittingEmptySubsequences: false).map { part in
                String(part.trimming { $0 == " " || $0 == "\"" })
            }
            guard parts.count == 3, !parts[0].isEmpty, let partition = Int32(parts[1]), partition >= 0, let offset = Int64(parts[2]), offset >= 0
            else {
                throw ClientError.invalid("\(name):\(number + 1): '\(line)' is not topic,partition,offset")
            }
            guard offsets.updateValue(offset, forKey: TopicPartition(parts[0], partition)) == nil else {
                throw ClientError.invalid("\(name):\(number + 1): \(parts[0]),\(partition) comes twice")
            }
        }
        if offsets.isEmpty { throw ClientError.invalid("\(name) holds no offsets") }
        return offsets
    }
}

extension Substring {
    /// Without what `isLeftOut` names at both ends.
    fileprivate func trimming(_ isLeftOut: (Character) -> Bool) -> Substring {
        var rest = drop(while: isLeftOut)
        while let last = rest.last, isLeftOut(last) { rest.removeLast() }
        return rest
    }
}

/// Lengths of time as people write them.
enum TimeSpan {
    /// Milliseconds of `30s`, `15m`, `2h`, `7d`, or `P[nD][T[nH][nM][nS]]` (ISO 8601). Nil for anything else.
    static func milliseconds(_ text: String) -> Int64? {
        guard text.first == "P" || text.first == "p" else { return parts(Substring(text), units: ["d", "h", "m", "s"], isSingle: true) }
        let halves = text.dropFirst().uppercased().split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
        var total: Int64 = 0
        if !halves[0].isEmpty {
            guard let days = parts(halves[0].lowercased()[...], units: ["d"], isSingle: true) else { return nil }
            total = days
        }
        if halves.count == 2 {
            guard let time = parts(halves[1].lowercased()[...], units: ["h", "m", "s"], isSingle: false) else { return nil }
            let (sum, overflows) = total.addingReportingOverflow(time)
            if overflows { return nil }
            total = sum
        } else if halves[0].isEmpty {
            return nil
        }
        return total
    }

    private static let unitMs: [Character: Int64] = ["d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000]

    /// Numbers, each with one of `units` behind it, in that order.
    private static func parts(_ text: Substring, units: [Character], isSingle: Bool) -> Int64? {
        var total: Int64 = 0
        var digits = ""
        var left = units[...]
        var count = 0
        for character in text {
            if character.isASCII, character.isNumber {
                digits.append(character)
                continue
            }
            guard let place = left.firstIndex(of: character), let number = Int64(digits), let unit = unitMs[character] else { return nil }
            let (product, tooLong) = number.multipliedReportingOverflow(by: unit)
            let (sum, overflows) = total.addingReportingOverflow(product)
            if tooLong || overflows { return nil }
            total = sum
            left = left[(place + 1)...]
            digits = ""
            count += 1
        }
        return digits.isEmpty && count > 0 && (!isSingle || count == 1) ? total : nil
    }
}
