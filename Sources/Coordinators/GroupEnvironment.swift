internal import KafkaProtocol

/// What a group needs to know of the world beside the event itself.
struct GroupEnvironment: Sendable {
    var options: GroupOptions
    var topics: any TopicDirectory
    /// Only member ids come from it.
    var random: RandomSource
    /// In bytes; as of before the event.
    var held = GroupTotal()
    /// A hundred times what looking up the patterns of each group takes, in milliseconds.
    var patternRest = GroupTotal()

    /// Counts what a group is now; nil where it is gone.
    mutating func count(_ group: GroupKind?, as groupID: String) {
        held.set(group?.byteCount ?? 0, of: groupID)
        patternRest.set(group?.patternRestMs ?? 0, of: groupID)
    }

    /// How long a group's patterns rest between two lookups, in milliseconds: so long that these keep other groups waiting for no more than a
    /// hundredth of the time, and those of all groups for no more than a tenth. That is half a second at least; and at most ten minutes, which
    /// only hundreds of groups with the costliest patterns come to.
    func restMs(of subscriptions: ConsumerSubscriptions) -> Int64 {
        Int64(max(min(max(subscriptions.restMs, 500), 30_000), min(patternRest.total / 10, 600_000)))
    }

    /// Nobody may come in, and nobody who is in may say more than before. What was let in before is counted even so.
    var isFull: Bool { held.total > options.heldBytesMax }

    /// A new member's id: `prefix`, cut to fit into 200 bytes, and a random part that no other member has.
    mutating func memberID(_ prefix: String) -> String {
        let uuid = Uuid.random(using: &random)
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value & (digits == 16 ? .max : (1 << (4 * UInt64(digits))) - 1), radix: 16)
            return String(repeating: "0", count: digits - text.count) + text
        }
        let parts = [hex(uuid.high >> 32, 8), hex(uuid.high >> 16, 4), hex(uuid.high, 4), hex(uuid.low >> 48, 4), hex(uuid.low, 12)]
        let suffix = "-" + parts.joined(separator: "-")
        let bytes = prefix.utf8
        var end = bytes.index(bytes.startIndex, offsetBy: memberIDBytesMax - suffix.utf8.count, limitedBy: bytes.endIndex) ?? bytes.endIndex
        // Not in the middle of a scalar.
        while end < bytes.endIndex, UTF8.isContinuation(bytes[end]) { end = bytes.index(before: end) }
        return String(prefix[..<end]) + suffix
    }
}

/// With the key's own bytes a member's record stays below the 250 that a record key may have.
let memberIDBytesMax = 200

/// The system's randomness, or in tests a sequence that can be had again.
enum RandomSource: RandomNumberGenerator, Sendable {
    case system
    /// SplitMix64 from this state on.
    case seeded(UInt64)

    mutating func next() -> UInt64 {
        switch self {
        case .system:
            var generator = SystemRandomNumberGenerator()
            return generator.next()
        case .seeded(let state):
            let advanced = state &+ 0x9e37_79b9_7f4a_7c15
            self = .seeded(advanced)
            var mixed = advanced
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }
}
