/// Kafka's rules for topic names: they once were directory names and parts of metric names.
enum TopicName {
    /// The longest name, in characters.
    static let lengthMax = 249

    /// Why `name` is no topic name, as a sentence; nil when it is one.
    static func complaint(about name: String) -> String? {
        if name.isEmpty { return "Topic name is invalid: the empty string is not allowed" }
        if name == "." || name == ".." { return "Topic name is invalid: '.' or '..' is not allowed" }
        if name.utf8.count > lengthMax {
            return "Topic name is invalid: the length of '\(name.prefix(lengthMax))…' is longer than the max allowed length \(lengthMax)"
        }
        guard name.utf8.allSatisfy(isLegal) else {
            return "Topic name is invalid: '\(name)' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        }
        return nil
    }

    private static func isLegal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }

    /// Whether the name could collide: in metric names '.' and '_' are the same.
    static func canCollide(_ name: String) -> Bool { name.utf8.contains { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_") } }

    /// What two names that collide have in common.
    static func folded(_ name: String) -> String {
        String(decoding: name.utf8.map { $0 == UInt8(ascii: ".") ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
    }
}
