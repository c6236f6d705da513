/// What values a configuration key takes: checked when a file is read, when a client alters a config, and spelled out to both.
public enum ConfigurationType: Sendable, Equatable {
    case boolean
    /// Any text, which must not be empty.
    case string
    /// A 32-bit integer within the range.
    case int(ClosedRange<Int64>)
    /// A 64-bit integer within the range.
    case long(ClosedRange<Int64>)
    /// −1, which is without limit or leaves the choice to others, or an integer within the range: of 32 bits where that ends there.
    case minusOneOr(ClosedRange<Int64>)
    case double(ClosedRange<Double>)
    /// One of the words.
    case oneOf([String])
    /// A comma-separated list of the words, or of any when there are none to choose from.
    case list([String])

    static func int(from lower: Int64) -> ConfigurationType { .int(lower...Int64(Int32.max)) }
    static func long(from lower: Int64) -> ConfigurationType { .long(lower...Int64.max) }

    /// The type's number in a DescribeConfigs response (KIP-226, KIP-569).
    public var wireCode: Int8 {
        switch self {
        case .boolean: 1
        case .string, .oneOf: 2
        case .int: 3
        case .long: 5
        case .minusOneOr(let range): range.upperBound > Int64(Int32.max) ? 5 : 3
        case .double: 6
        case .list: 7
        }
    }

    /// The values taken, to follow "accepted is …".
    public var accepted: String {
        switch self {
        case .boolean: "true or false"
        case .string: "text"
        case .int(let range): Self.spelled(range, unbounded: Int64(Int32.max))
        case .long(let range): Self.spelled(range, unbounded: .max)
        case .minusOneOr(let range):
            "-1 or " + Self.spelled(range, unbounded: range.upperBound > Int64(Int32.max) ? .max : Int64(Int32.max))
        case .double(let range): "a number from \(range.lowerBound) to \(range.upperBound)"
        case .oneOf(let words): words.joined(separator: ", ")
        case .list([]): "a comma-separated list"
        case .list(let words): "a comma-separated list of " + words.joined(separator: ", ")
        }
    }

    private static func spelled(_ range: ClosedRange<Int64>, unbounded: Int64) -> String {
        if range.lowerBound == range.upperBound { return "\(range.lowerBound)" }
        return range.upperBound == unbounded
            ? "an integer of at least \(range.lowerBound)" : "an integer from \(range.lowerBound) to \(range.upperBound)"
    }

    /// True when `value` is taken. Blanks around numbers and list entries are not counted, as in Kafka.
    public func accepts(_ value: String) -> Bool {
        let trimmed = value.trimmingBlanks
        switch self {
        case .boolean: return trimmed.lowercased() == "true" || trimmed.lowercased() == "false"
        case .string: return !trimmed.isEmpty
        case .int(let range): return Int32(trimmed).map { range.contains(Int64($0)) } ?? false
        case .long(let range): return Int64(trimmed).map { range.contains($0) } ?? false
        case .minusOneOr(let range): return Int64(trimmed).map { $0 == -1 || range.contains($0) } ?? false
        case .double(let range): return Double(trimmed).map { range.contains($0) } ?? false
        case .oneOf(let words): return words.contains(value)
        case .list(let words):
            // An empty entry is none of the words; an empty list is a list.
            let entries = trimmed.isEmpty ? [] : trimmed.split(separator: ",", omittingEmptySubsequences: false)
            return words.isEmpty || entries.allSatisfy { words.contains(String($0).trimmingBlanks) }
        }
    }
}

extension String {
    /// Without the blanks around it.
    var trimmingBlanks: String {
        var slice = self[...]
        while let first = slice.first, first.isWhitespace { slice.removeFirst() }
        while let last = slice.last, last.isWhitespace { slice.removeLast() }
        return String(slice)
    }

    /// The entries of a comma-separated list, without blanks and without empty ones.
    var listEntries: [String] {
        split(separator: ",").map { String($0).trimmingBlanks }.filter { !$0.isEmpty }
    }
}
