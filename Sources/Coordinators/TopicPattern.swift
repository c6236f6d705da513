/// A regular expression for whole topic names, as KIP-848's subscriptions have them: RE2's syntax, matched in time
/// that grows with the length of the name and of the pattern and with nothing else. Names of topics are ASCII, so are
/// the classes here: `\p{L}` is `[A-Za-z]`, and a letter beyond ASCII matches no name.
///
/// Understood: literals, `.`, `[…]` with ranges, negation and `[:alpha:]`, `\d \w \s` and their opposites, `\pN` and
/// `\p{…}`, `\Q…\E`, escapes by number, groups (named, not capturing, with flags `imsU`), `|`, `* + ? {n,m}` and their
/// lazy forms, `^ $ \A \z \b \B`. Not in RE2, so refused: back references, looking ahead and behind, possessive and
/// atomic groups.
struct TopicPattern: Sendable {
    /// Why a pattern cannot be used, in words for its user.
    struct Malformed: Error, Equatable {
        var reason: String
    }

    /// Names were looked at for longer than agreed.
    struct TooCostly: Error {}

    /// Longest pattern, in bytes.
    static let bytesMax = 16_384
    /// Instructions that a pattern may come to when its repetitions are written out.
    static let instructionsMax = 10_000
    /// Steps that all patterns of a group may take to go through all names, some 10 ns each. An ordinary pattern takes a hundred for a name.
    static let stepsMax = 10_000_000

    let text: String
    private let program: [Instruction]

    enum Instruction: Sendable, Equatable {
        case take(CharacterSet)
        case split(Int, Int)
        case jump(Int)
        case require(Condition)
        case match
    }

    /// What may be asked about a place between two characters.
    enum Condition: Sendable, Equatable {
        case start, end, wordBoundary, noWordBoundary
    }

    /// A set of ASCII characters.
    struct CharacterSet: Sendable, Equatable {
        var low: UInt64 = 0
        var high: UInt64 = 0

        static let all = CharacterSet(low: .max, high: .max)

        func contains(_ octet: UInt8) -> Bool {
            octet < 64 ? low >> UInt64(octet) & 1 != 0 : octet < 128 && high >> UInt64(octet - 64) & 1 != 0
        }

        mutating func insert(_ octet: UInt8) {
            if octet < 64 { low |= 1 << UInt64(octet) } else if octet < 128 { high |= 1 << UInt64(octet - 64) }
        }

        mutating func formUnion(_ other: CharacterSet) {
            low |= other.low
            high |= other.high
        }

        var inverted: CharacterSet { CharacterSet(low: ~low, high: ~high) }
    }

    /// In memory.
    var byteCount: Int { text.utf8.count + program.count * MemoryLayout<Instruction>.stride }

    init(_ text: String) throws(Malformed) {
        guard text.utf8.count <= Self.bytesMax else { throw Malformed(reason: "it is longer than \(Self.bytesMax) bytes") }
        var parser = TopicPatternParser(text)
        let tree = try parser.parse()
        var emitter = Emitter()
        try emitter.emit(tree)
        emitter.program.append(.match)
        self.text = text
        program = emitter.program
    }

    /// Whether the whole of `name` matches. The steps that it takes are subtracted from `stepsLeft`.
    func matches(_ name: String, stepsLeft: inout Int) throws(TooCostly) -> Bool {
        let octets = Array(name.utf8)
        // What is made ready for a name grows with the program, too.
        stepsLeft -= program.count / 8
        var current = Threads(program.count)
        var next = Threads(program.count)
        follow(from: 0, at: 0, octets, into: &current)
        for position in octets.indices {
            stepsLeft -= current.steps + 1
            guard stepsLeft > 0 else { throw TooCostly() }
            for place in current.waiting {
                guard case .take(let set) = program[place], set.contains(octets[position]) else { continue }
                follow(from: place + 1, at: position + 1, octets, into: &next)
            }
            swap(&current, &next)
            next.clear()
            if current.waiting.isEmpty && !current.matched { return false }
        }
        return current.matched
    }

    /// The places in a program that are reached at one position of the name, each once.
    private struct Threads {
        /// Instructions that take a character.
        var waiting: [Int] = []
        var matched = false
        var steps = 0
        var stack: [Int] = []
        /// By instruction: the round in which it was reached.
        private var seen: [Int]
        private var round = 1

        init(_ count: Int) { seen = Array(repeating: 0, count: count) }

        mutating func visit(_ place: Int) -> Bool {
            steps += 1
            guard seen[place] != round else { return false }
            seen[place] = round
            return true
        }

        mutating func clear() {
            waiting.removeAll(keepingCapacity: true)
            matched = false
            steps = 0
            round += 1
        }
    }

    /// Goes along all instructions that take no character.
    private func follow(from start: Int, at position: Int, _ octets: [UInt8], into threads: inout Threads) {
        threads.stack.append(start)
        while let place = threads.stack.popLast() {
            guard threads.visit(place) else { continue }
            switch program[place] {
            case .take: threads.waiting.append(place)
            case .match: threads.matched = threads.matched || position == octets.count
            case .jump(let target): threads.stack.append(target)
            case .split(let first, let second):
                threads.stack.append(second)
                threads.stack.append(first)
            case .require(let condition):
                if Self.holds(condition, at: position, octets) { threads.stack.append(place + 1) }
            }
        }
    }

    private static func holds(_ condition: Condition, at position: Int, _ octets: [UInt8]) -> Bool {
        func isWord(_ index: Int) -> Bool { octets.indices.contains(index) && TopicPatternParser.word.contains(octets[index]) }
        return switch condition {
        case .start: position == 0
        case .end: position == octets.count
        case .wordBoundary: isWord(position - 1) != isWord(position)
        case .noWordBoundary: isWord(position - 1) == isWord(position)
        }
    }
}

extension TopicPattern {
    /// What a pattern says.
    indirect enum Tree {
        case nothing
        case take(CharacterSet)
        case require(Condition)
        case sequence([Tree])
        case choice([Tree])
        /// Nil `most`: without end.
        case repeated(Tree, least: Int, most: Int?)
    }

    /// Writes a tree out as a program (Thompson 1968).
    private struct Emitter {
        var program: [Instruction] = []
        /// Repetitions of what is nothing come to no instructions, but to work.
        private var partsLeft = 10 * TopicPattern.instructionsMax

        mutating func emit(_ tree: Tree) throws(Malformed) {
            partsLeft -= 1
            guard program.count < TopicPattern.instructionsMax, partsLeft > 0 else { throw Malformed(reason: "it is too large when its repetitions are written out") }
            switch tree {
            case .nothing: break
            case .take(let set): program.append(.take(set))
            case .require(let condition): program.append(.require(condition))
            case .sequence(let parts): for part in parts { try emit(part) }
            case .choice(let parts): try emitChoice(parts)
            case .repeated(let part, let least, let most): try emitRepetition(part, least, most)
            }
        }

        private mutating func emitChoice(_ parts: [Tree]) throws(Malformed) {
            var exits: [Int] = []
            for (index, part) in parts.enumerated() {
                guard index < parts.count - 1 else {
                    try emit(part)
                    break
                }
                let split = program.count
                program.append(.match)
                try emit(part)
                exits.append(program.count)
                program.append(.match)
                program[split] = .split(split + 1, program.count)
            }
            for exit in exits { program[exit] = .jump(program.count) }
        }

        private mutating func emitRepetition(_ part: Tree, _ least: Int, _ most: Int?) throws(Malformed) {
            for _ in 0..<least { try emit(part) }
            guard let most else {
                let split = program.count
                program.append(.match)
                try emit(part)
                program.append(.jump(split))
                program[split] = .split(split + 1, program.count)
                return
            }
            var splits: [Int] = []
            for _ in 0..<(most - least) {
                splits.append(program.count)
                program.append(.match)
                try emit(part)
            }
            for split in splits { program[split] = .split(split + 1, program.count) }
        }
    }
}
