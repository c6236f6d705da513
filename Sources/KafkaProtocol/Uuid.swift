/// A Kafka topic or directory id: 16 bytes, written as 22 characters of URL-safe base64 without padding.
public struct Uuid: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The zero id, "no topic" on the wire.
    @inlinable public init() { self.init(high: 0, low: 0) }

    @inlinable public var isZero: Bool { high == 0 && low == 0 }

    /// A random (version 4) id. Like Kafka, never one whose text begins with a dash, which would look like an option.
    public static func random(using generator: inout some RandomNumberGenerator) -> Uuid {
        while true {
            let id = Uuid(
                high: generator.next() & ~0xf000 | 0x4000,
                low: generator.next() & ~(0b11 << 62) | (0b10 << 62))
            if !id.description.hasPrefix("-") { return id }
        }
    }

    public static func random() -> Uuid {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }
}

extension Uuid: CustomStringConvertible, LosslessStringConvertible {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    public var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(22)
        // 128 bits in 22 sextets, the last one holding two bits followed by zeros.
        for index in 0..<22 {
            var sextet = 0
            for bit in (index * 6)..<(index * 6 + 6) { sextet = sextet << 1 | Int(self.bit(bit)) }
            text.append(Self.alphabet[sextet])
        }
        return String(decoding: text, as: UTF8.self)
    }

    public init?(_ description: String) {
        guard description.utf8.count == 22 else { return nil }
        var id = Uuid()
        for (index, character) in description.utf8.enumerated() {
            guard let sextet = Self.alphabet.firstIndex(of: character) else { return nil }
            for bit in 0..<6 where sextet & (0x20 >> bit) != 0 {
                let position = index * 6 + bit
                guard position < 128 else { return nil }
                if position < 64 { id.high |= 1 << (63 - position) } else { id.low |= 1 << (127 - position) }
            }
        }
        self = id
    }

    private func bit(_ position: Int) -> UInt64 {
        if position < 64 { return high >> (63 - position) & 1 }
        return position < 128 ? low >> (127 - position) & 1 : 0
    }
}
