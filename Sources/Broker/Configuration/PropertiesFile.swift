/// A configuration that cannot be used; the message says where it stands, what is wrong and what to write instead.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String
    public var description: String { message }
}

/// A file in Java's properties format, as Kafka's are: `name=value` or `name: value`, `#` and `!` begin a comment,
/// a backslash at the end continues the line.
enum PropertiesFile {
    struct Property: Equatable {
        let name: String
        let value: String
        /// Where the property begins, counted from 1.
        let line: Int
    }

    static func parse(_ text: String, path: String) throws(ConfigurationError) -> [Property] {
        var properties: [Property] = []
        for (line, logical) in logicalLines(text) {
            let (name, value) = split(logical)
            guard let name = unescaped(name), let value = unescaped(value) else {
                throw ConfigurationError(message: "\(path), line \(line): a \\u escape needs four hexadecimal digits.")
            }
            guard !name.isEmpty else {
                throw ConfigurationError(message: "\(path), line \(line): there is no name before the value; write NAME=VALUE.")
            }
            properties.append(Property(name: name, value: value, line: line))
        }
        return properties
    }

    /// Lines with their continuations joined, without blank ones and comments, each with its number.
    private static func logicalLines(_ text: String) -> [(Int, String)] {
        var lines: [(Int, String)] = []
        var open: (Int, String)?
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let trimmed = String(raw.drop(while: \.isWhitespace))
            if open == nil, trimmed.isEmpty || trimmed.hasPrefix("#") || trimmed.hasPrefix("!") { continue }
            let (number, start) = open ?? (index + 1, "")
            var content = start + trimmed
            open = nil
            if trimmed.reversed().prefix(while: { $0 == "\\" }).count % 2 == 1 {
                content.removeLast()
                open = (number, content)
            } else {
                lines.append((number, content))
            }
        }
        if let open { lines.append(open) }
        return lines
    }

    /// Name and value parted at the first unescaped `=`, `:` or blank.
    private static func split(_ line: String) -> (Substring, Substring) {
        var escaped = false
        var end = line.endIndex
        for index in line.indices {
            let character = line[index]
            if !escaped, character == "=" || character == ":" || character.isWhitespace {
                end = index
                break
            }
            escaped = character == "\\" && !escaped
        }
        var rest = line[end...].drop(while: \.isWhitespace)
        if let first = rest.first, first == "=" || first == ":" { rest = rest.dropFirst().drop(while: \.isWhitespace) }
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return (line[..<end], rest)
    }

    private static func unescaped(_ text: Substring) -> String? {
        var result = ""
        var rest = text
        while let character = rest.popFirst() {
            guard character == "\\", let escape = rest.popFirst() else {
                result.append(character)
                continue
            }
            switch escape {
            case "t": result.append("\t")
            case "n": result.append("\n")
            case "r": result.append("\r")
            case "f": result.append("\u{c}")
            case "u":
                guard let scalar = scalar(&rest) else { return nil }
                result.unicodeScalars.append(scalar)
            default: result.append(escape)
            }
        }
        return result
    }

    /// The character of the four digits behind `\u`, or of two such escapes where it is beyond the first 65,536.
    private static func scalar(_ rest: inout Substring) -> Unicode.Scalar? {
        guard let first = codeUnit(&rest) else { return nil }
        guard UTF16.isLeadSurrogate(first) else { return Unicode.Scalar(first) }
        guard rest.hasPrefix("\\u") else { return nil }
        rest = rest.dropFirst(2)
        guard let second = codeUnit(&rest), UTF16.isTrailSurrogate(second) else { return nil }
        return String(decoding: [first, second], as: UTF16.self).unicodeScalars.first
    }

    private static func codeUnit(_ rest: inout Substring) -> UInt16? {
        let digits = rest.prefix(4)
        guard digits.count == 4, digits.allSatisfy(\.isHexDigit), let unit = UInt16(digits, radix: 16) else { return nil }
        rest = rest.dropFirst(4)
        return unit
    }
}
