import KafkaProtocol

/// What all versions of a message carry, one line a field, in wire order.
struct Grammar {
    private struct Line {
        var path: String
        var text: String
        var versions: [Int16]
    }

    private var lines: [Line] = []

    init<M: Fields>(_: M.Type, versions: ClosedRange<Int16>, flexibleFrom: Int16) throws {
        for version in versions {
            var next = 0
            for (path, text) in Self.flatten(spell(M.self, version: version, flexible: version >= flexibleFrom), depth: 1, path: "") {
                if let found = lines.firstIndex(where: { $0.path == path && $0.text == text }) {
                    // One listing in one order serves all versions.
                    guard found >= next else { throw Disorder(path: path, version: version) }
                    lines[found].versions.append(version)
                    next = found + 1
                } else {
                    lines.insert(Line(path: path, text: text, versions: [version]), at: next)
                    next += 1
                }
            }
        }
    }

    struct Disorder: Error {
        var path: String
        var version: Int16
    }

    var text: [String] { lines.map { "\($0.text) \(Self.range($0.versions))" } }

    private static func flatten(_ fields: [Spelled], depth: Int, path: String) -> [(path: String, text: String)] {
        fields.flatMap { field in
            let words = [
                String(repeating: "  ", count: depth) + (field.tag.map { "@\($0) " } ?? "") + (field.name.isEmpty ? "?" : field.name),
                field.type,
                field.initial,
            ]
            let own = "\(path)/\(field.name)"
            return [(own, words.filter { !$0.isEmpty }.joined(separator: " "))]
                + flatten(field.children, depth: depth + 1, path: own)
        }
    }

    static func range(_ versions: [Int16]) -> String {
        guard let first = versions.first, let last = versions.last else { return "" }
        precondition(versions == Array(first...last), "a field comes and goes once")
        return first == last ? "\(first)" : "\(first)–\(last)"
    }
}
