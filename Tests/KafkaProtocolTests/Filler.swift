import KafkaProtocol

/// Fills a message with random fields. Slices point into a payload of `Filler.payload`'s length.
struct Filler: WireFormat {
    /// What the written message is joined with.
    static let payload = Frame((0..<256).map { UInt8(truncatingIfNeeded: $0 &* 7) })

    let version: Int16
    let flexible: Bool
    var random: SplitMix

    init(version: Int16, flexible: Bool, seed: UInt64) {
        self.version = version
        self.flexible = flexible
        random = SplitMix(state: seed)
    }

    mutating func number<T: FixedWidthInteger>(_: T.Type) -> T {
        switch Int.random(in: 0..<8, using: &random) {
        case 0: .min
        case 1: .max
        case 2: 0
        default: .random(in: .min ... .max, using: &random)
        }
    }

    mutating func coin() -> Bool { .random(using: &random) }

    mutating func text() -> String {
        let alphabet: [String] = ["a", "topic", "-", "é", "日本", "🪵", ""]
        return (0..<Int.random(in: 0...4, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "" }.joined()
    }

    mutating func bool(_ value: inout Bool) { value = coin() }
    mutating func int8(_ value: inout Int8) { value = number(Int8.self) }
    mutating func int16(_ value: inout Int16) { value = number(Int16.self) }
    mutating func uint16(_ value: inout UInt16) { value = number(UInt16.self) }
    mutating func int32(_ value: inout Int32) { value = number(Int32.self) }
    mutating func int64(_ value: inout Int64) { value = number(Int64.self) }
    mutating func uuid(_ value: inout Uuid) { value = Uuid(high: number(UInt64.self), low: number(UInt64.self)) }
    mutating func string(_ value: inout String) { value = text() }
    mutating func string(_ value: inout String?) { value = coin() ? text() : nil }
    mutating func error(_ value: inout ErrorCode) { value = ErrorCode(rawValue: number(Int16.self)) }

    mutating func slice(_ value: inout FrameSlice?) {
        let length = Int.random(in: 0...64, using: &random)
        value = coin() ? FrameSlice(offset: .random(in: 0...(Self.payload.byteCount - length), using: &random), length: length) : nil
    }

    mutating func bytes(_ value: inout [UInt8]) {
        value = (0..<Int.random(in: 0...20, using: &random)).map { _ in number(UInt8.self) }
    }

    mutating func bytes(_ value: inout [UInt8]?) {
        var present: [UInt8] = []
        bytes(&present)
        value = coin() ? present : nil
    }

    mutating func array<E: Fields>(_ value: inout [E]) {
        value = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            E { $0.fields(&self) }
        }
    }

    mutating func array<E: Fields>(_ value: inout [E]?) {
        var present: [E] = []
        array(&present)
        value = coin() ? present : nil
    }

    mutating func optional<M: Fields>(_ value: inout M?) { value = coin() ? M { $0.fields(&self) } : nil }

    mutating func tagged<M: Fields & Equatable>(_ tag: UInt32, _ value: inout M, default: M) {
        if flexible, coin() { value.fields(&self) }
    }

    mutating func tags() {}
}
