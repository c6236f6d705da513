/// Sets of characters: in brackets, by name, and escapes.
extension TopicPatternParser {
    static let digit = set { $0 >= 48 && $0 <= 57 }
    static let lower = set { $0 >= 97 && $0 <= 122 }
    static let upper = set { $0 >= 65 && $0 <= 90 }
    static let space = set { $0 == 32 || ($0 >= 9 && $0 <= 13 && $0 != 11) }
    static let word = set { digit.contains($0) || letter.contains($0) || $0 == 95 }
    private static let letter = set { lower.contains($0) || upper.contains($0) }
    private static let punctuation = set { $0 > 32 && $0 < 127 && !digit.contains($0) && !letter.contains($0) }
    private static let symbol = set { "$+<=>^`|~".utf8.contains($0) }
    private static let control = set { $0 < 32 || $0 == 127 }

    private static func set(_ isMember: (UInt8) -> Bool) -> CharacterSet {
        var set = CharacterSet()
        for octet in UInt8(0)..<128 where isMember(octet) { set.insert(octet) }
        return set
    }

    private static let posix: [String: CharacterSet] = [
        "alnum": set { digit.contains($0) || letter.contains($0) }, "alpha": letter, "ascii": .all, "blank": set { $0 == 9 || $0 == 32 }, "cntrl": control,
        "digit": digit, "graph": set { $0 > 32 && $0 < 127 }, "lower": lower, "print": set { $0 >= 32 && $0 < 127 }, "punct": punctuation,
        "space": set { $0 == 32 || ($0 >= 9 && $0 <= 13) }, "upper": upper, "word": word,
        "xdigit": set { digit.contains($0) || ($0 | 32 >= 97 && $0 | 32 <= 102) },
    ]

    /// Unicode's general categories and the commonest scripts, as far as they are ASCII.
    private static let unicode: [String: CharacterSet] = {
        var sets: [String: CharacterSet] = [
            "Any": .all, "L": letter, "Ll": lower, "Lu": upper, "Latin": letter, "Common": letter.inverted, "N": digit, "Nd": digit, "S": symbol,
            "Sc": set { $0 == 36 }, "Sk": set { $0 == 94 || $0 == 96 }, "Sm": set { "+<=>|~".utf8.contains($0) }, "Z": set { $0 == 32 },
            "Zs": set { $0 == 32 }, "C": control, "Cc": control, "P": set { punctuation.contains($0) && !symbol.contains($0) }, "Pc": set { $0 == 95 },
            "Pd": set { $0 == 45 }, "Ps": set { "([{".utf8.contains($0) }, "Pe": set { ")]}".utf8.contains($0) },
            "Po": set { "!\"#%&'*,./:;?@\\".utf8.contains($0) },
        ]
        for name in ["Cf", "Co", "Cs", "Lm", "Lo", "Lt", "M", "Mc", "Me", "Mn", "Nl", "No", "Pf", "Pi", "So", "Zl", "Zp"] { sets[name] = CharacterSet() }
        for name in ["Arabic", "Armenian", "Cyrillic", "Devanagari", "Georgian", "Greek", "Han", "Hangul", "Hebrew", "Hiragana", "Katakana", "Thai"] {
            sets[name] = CharacterSet()
        }
        return sets
    }()

    /// What follows a `[`.
    mutating func characterClass() throws(Malformed) -> CharacterSet {
        let isNegated = skip("^")
        var set = CharacterSet()
        var isFirst = true
        while true {
            guard let scalar = scalars.first else { throw Malformed(reason: "a [ is not closed") }
            if scalar == "]", !isFirst {
                scalars.removeFirst()
                break
            }
            isFirst = false
            if let named = try namedClass() {
                set.formUnion(named)
                continue
            }
            let low = try classMember()
            guard scalars.first == "-", let next = scalars.dropFirst().first, next != "]" else {
                if low < 128 { set.insert(UInt8(low)) }
                continue
            }
            scalars.removeFirst()
            let high = try classMember()
            guard low <= high else { throw Malformed(reason: "a range in [] is the wrong way round") }
            if low < 128 { for octet in low...min(high, 127) { set.insert(UInt8(octet)) } }
        }
        let folded = folding(set)
        return isNegated ? folded.inverted : folded
    }

    /// `[:alpha:]`, `\d` or `\pL` within brackets; nil if none of them is next.
    private mutating func namedClass() throws(Malformed) -> CharacterSet? {
        if scalars.starts(with: "[:".unicodeScalars) {
            guard let close = scalars.indices.dropFirst(2).first(where: { scalars[$0] == ":" }), scalars.dropFirst(close - scalars.startIndex + 1).first == "]" else {
                return nil
            }
            var name = String(String.UnicodeScalarView(scalars[(scalars.startIndex + 2)..<close]))
            let isNegated = name.hasPrefix("^")
            if isNegated { name.removeFirst() }
            guard let set = Self.posix[name] else { throw Malformed(reason: "[:\(name):] is not known") }
            scalars = scalars[(close + 2)...]
            return isNegated ? set.inverted : set
        }
        guard scalars.first == "\\", let letter = scalars.dropFirst().first else { return nil }
        return try namedEscape(letter, length: 2)
    }

    /// The set of `\d`, `\pL` and the like, of which the first `length` characters are at the start of `scalars`; nil if it
    /// is another escape.
    private mutating func namedEscape(_ letter: Unicode.Scalar, length: Int) throws(Malformed) -> CharacterSet? {
        let set: CharacterSet
        switch letter {
        case "d": set = Self.digit
        case "D": set = Self.digit.inverted
        case "s": set = Self.space
        case "S": set = Self.space.inverted
        case "w": set = Self.word
        case "W": set = Self.word.inverted
        case "p", "P":
            scalars = scalars.dropFirst(length)
            let named = try unicodeClass()
            return letter == "P" ? named.inverted : named
        default: return nil
        }
        scalars = scalars.dropFirst(length)
        return set
    }

    /// What follows `\p`.
    private mutating func unicodeClass() throws(Malformed) -> CharacterSet {
        guard let first = scalars.first else { throw Malformed(reason: "\\p names nothing") }
        scalars.removeFirst()
        var name = String(Character(first))
        if first == "{" {
            guard let close = scalars.firstIndex(of: "}") else { throw Malformed(reason: "\\p{ is not closed") }
            name = String(String.UnicodeScalarView(scalars[..<close]))
            scalars = scalars[(close + 1)...]
        }
        let isNegated = name.hasPrefix("^")
        if isNegated { name.removeFirst() }
        guard let set = Self.unicode[name] else { throw Malformed(reason: "\\p{\(name)} is not known") }
        return isNegated ? set.inverted : set
    }

    /// One character within brackets, escaped or not, by its number.
    private mutating func classMember() throws(Malformed) -> UInt32 {
        guard let scalar = scalars.first else { throw Malformed(reason: "a [ is not closed") }
        scalars.removeFirst()
        guard scalar == "\\" else { return scalar.value }
        return try escapedCharacter()
    }

    /// What follows a `\` outside of brackets.
    mutating func escape() throws(Malformed) -> TopicPattern.Tree {
        guard let letter = scalars.first else { throw Malformed(reason: "a \\ stands at the end") }
        switch letter {
        case "A": return anchor(.start)
        case "z": return anchor(.end)
        case "b": return anchor(.wordBoundary)
        case "B": return anchor(.noWordBoundary)
        default: break
        }
        if let set = try namedEscape(letter, length: 1) { return .take(folding(set)) }
        let character = try escapedCharacter()
        var set = CharacterSet()
        if character < 128 { set.insert(UInt8(character)) }
        return .take(folding(set))
    }

    private mutating func anchor(_ condition: TopicPattern.Condition) -> TopicPattern.Tree {
        scalars.removeFirst()
        return .require(condition)
    }

    /// The number of the character that is meant by what follows a `\`.
    private mutating func escapedCharacter() throws(Malformed) -> UInt32 {
        guard let scalar = scalars.first else { throw Malformed(reason: "a \\ stands at the end") }
        scalars.removeFirst()
        switch scalar {
        case "a": return 7
        case "t": return 9
        case "n": return 10
        case "v": return 11
        case "f": return 12
        case "r": return 13
        case "x": return try hexadecimal()
        case "0": return octal(startingWith: 0, digits: 2)
        case "1"..."7":
            // Without a second digit it would be a back reference.
            guard let next = scalars.first, ("0"..."7").contains(next) else { throw Malformed(reason: "\\\(scalar) refers back, which is not supported") }
            return octal(startingWith: scalar.value - 48, digits: 2)
        default:
            guard scalar.isASCII, !Self.word.contains(UInt8(scalar.value)) else { throw Malformed(reason: "\\\(scalar) is not known") }
            return scalar.value
        }
    }

    private mutating func octal(startingWith first: UInt32, digits: Int) -> UInt32 {
        var value = first
        for _ in 0..<digits {
            guard let digit = scalars.first, ("0"..."7").contains(digit) else { break }
            scalars.removeFirst()
            value = value * 8 + digit.value - 48
        }
        return value
    }

    /// What follows `\x`: two digits, or any in braces.
    private mutating func hexadecimal() throws(Malformed) -> UInt32 {
        var digits: String
        if skip("{") {
            guard let close = scalars.firstIndex(of: "}") else { throw Malformed(reason: "\\x{ is not closed") }
            digits = String(String.UnicodeScalarView(scalars[..<close]))
            scalars = scalars[(close + 1)...]
        } else {
            digits = String(String.UnicodeScalarView(scalars.prefix(2)))
            guard digits.unicodeScalars.count == 2 else { throw Malformed(reason: "\\x wants two digits") }
            scalars = scalars.dropFirst(2)
        }
        guard digits.utf8.allSatisfy({ Self.posix["xdigit"]?.contains($0) ?? false }), let value = UInt32(digits, radix: 16), value <= 0x10ffff else {
            throw Malformed(reason: "\\x\(digits) is no character")
        }
        return value
    }
}
