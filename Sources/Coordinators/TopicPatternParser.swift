/// Reads RE2's syntax (https://github.com/google/re2/wiki/Syntax) into a tree.
struct TopicPatternParser {
    typealias CharacterSet = TopicPattern.CharacterSet
    typealias Malformed = TopicPattern.Malformed
    typealias Tree = TopicPattern.Tree

    /// Groups within groups.
    static let depthMax = 200
    /// RE2's own limit for a count in braces.
    static let countMax = 1_000

    var scalars: ArraySlice<Unicode.Scalar>
    private var flags = Flags()
    private var depth = 0

    private struct Flags {
        var ignoresCase = false
        var dotTakesNewline = false
    }

    init(_ text: String) { scalars = Array(text.unicodeScalars)[...] }

    mutating func parse() throws(Malformed) -> Tree {
        let tree = try choice()
        guard scalars.isEmpty else { throw Malformed(reason: "a ) closes nothing") }
        return tree
    }

    /// Takes `scalar` if it is next.
    mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard scalars.first == scalar else { return false }
        scalars.removeFirst()
        return true
    }

    private mutating func skip(_ text: String) -> Bool {
        guard scalars.starts(with: text.unicodeScalars) else { return false }
        scalars = scalars.dropFirst(text.unicodeScalars.count)
        return true
    }

    private mutating func choice() throws(Malformed) -> Tree {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw Malformed(reason: "its groups are nested too deeply") }
        // Flags set within a group end with it.
        let outer = flags
        defer { flags = outer }
        var parts = [try sequence()]
        while skip("|") { parts.append(try sequence()) }
        return parts.count == 1 ? parts[0] : .choice(parts)
    }

    private mutating func sequence() throws(Malformed) -> Tree {
        var parts: [Tree] = []
        while let scalar = scalars.first, scalar != "|", scalar != ")" {
            if skip("\\Q") {
                let before = parts.count
                while !scalars.isEmpty, !skip("\\E") { parts.append(.take(literal(scalars.removeFirst()))) }
                if parts.count > before { parts.append(try repetition(of: parts.removeLast())) }
                continue
            }
            guard let part = try atom() else { continue }
            parts.append(try repetition(of: part))
        }
        return parts.count == 1 ? parts[0] : parts.isEmpty ? .nothing : .sequence(parts)
    }

    /// Nil for what only changes flags.
    private mutating func atom() throws(Malformed) -> Tree? {
        let scalar = scalars.removeFirst()
        switch scalar {
        case "(": return try group()
        case "[": return .take(try characterClass())
        case ".":
            var newline = CharacterSet()
            newline.insert(10)
            return .take(flags.dotTakesNewline ? .all : newline.inverted)
        // A name has no lines, so it does not matter whether ^ and $ are of the line or of the text.
        case "^": return .require(.start)
        case "$": return .require(.end)
        case "*", "+", "?": throw Malformed(reason: "there is nothing before a \(scalar) to repeat")
        case "\\": return try escape()
        default: return .take(literal(scalar))
        }
    }

    private func literal(_ scalar: Unicode.Scalar) -> CharacterSet {
        var set = CharacterSet()
        if let octet = UInt8(exactly: scalar.value) { set.insert(octet) }
        return folding(set)
    }

    /// With the other case of each letter where case is ignored.
    func folding(_ set: CharacterSet) -> CharacterSet {
        guard flags.ignoresCase else { return set }
        var folded = set
        for octet in UInt8(ascii: "a")...UInt8(ascii: "z") {
            if set.contains(octet) { folded.insert(octet - 32) }
            if set.contains(octet - 32) { folded.insert(octet) }
        }
        return folded
    }

    /// What follows a `(`; nil for `(?i)` and the like, which holds until its own group ends.
    private mutating func group() throws(Malformed) -> Tree? {
        let outer = flags
        if skip("?") {
            if skip("P<") || skip("<") {
                try groupName()
            } else if try groupFlags() {
                return nil
            }
        }
        let tree = try choice()
        flags = outer
        guard skip(")") else { throw Malformed(reason: "a ( is not closed") }
        return tree
    }

    private mutating func groupName() throws(Malformed) {
        var name = 0
        while let scalar = scalars.first, scalar != ">" {
            guard scalar.isASCII, Self.word.contains(UInt8(scalar.value)) else { throw Malformed(reason: "a group has no proper name, or looks behind") }
            scalars.removeFirst()
            name += 1
        }
        guard skip(">"), name > 0 else { throw Malformed(reason: "a group has no proper name") }
    }

    /// Reads `i-s)` or `i-s:`; true if it ended with a parenthesis and so holds for what follows.
    private mutating func groupFlags() throws(Malformed) -> Bool {
        var isOn = true
        var count = 0
        while !scalars.isEmpty {
            let scalar = scalars.removeFirst()
            switch scalar {
            case "i": flags.ignoresCase = isOn
            case "s": flags.dotTakesNewline = isOn
            case "m", "U": break
            case "-" where isOn:
                isOn = false
                count = 0
                continue
            case ")" where count > 0: return true
            case ":" where count > 0 || isOn: return false
            default: throw Malformed(reason: "(?\(scalar) is not known here")
            }
            count += 1
        }
        throw Malformed(reason: "a ( is not closed")
    }

    private mutating func repetition(of part: Tree) throws(Malformed) -> Tree {
        guard let scalar = scalars.first else { return part }
        var tree = part
        switch scalar {
        case "*": tree = .repeated(part, least: 0, most: nil)
        case "+": tree = .repeated(part, least: 1, most: nil)
        case "?": tree = .repeated(part, least: 0, most: 1)
        case "{":
            guard let (least, most, length) = try count() else { return part }
            scalars = scalars.dropFirst(length)
            tree = .repeated(part, least: least, most: most)
        default: return part
        }
        if scalar != "{" { scalars.removeFirst() }
        // Lazy or not, the same names match.
        _ = skip("?")
        if let again = scalars.first, again == "*" || again == "+" || again == "?" { throw Malformed(reason: "a repetition is repeated") }
        return tree
    }

    /// Reads `{n}`, `{n,}` or `{n,m}` at the start of `scalars`; nil if it is none, and then it is literal.
    private func count() throws(Malformed) -> (least: Int, most: Int?, length: Int)? {
        guard let close = scalars.firstIndex(of: "}"), close - scalars.startIndex <= 12 else { return nil }
        let inside = String(String.UnicodeScalarView(scalars[(scalars.startIndex + 1)..<close]))
        let bounds = inside.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false)
        func number(_ text: Substring) -> Int? { text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? Int(text) : nil }
        guard let least = number(bounds[0]) else { return nil }
        var most: Int? = least
        if bounds.count == 2 {
            if bounds[1].isEmpty {
                most = nil
            } else if let number = number(bounds[1]) {
                most = number
            } else {
                return nil
            }
        }
        guard max(least, most ?? 0) <= Self.countMax, least <= most ?? .max else { throw Malformed(reason: "{\(inside)} is no proper count") }
        return (least, most, close - scalars.startIndex + 1)
    }
}
