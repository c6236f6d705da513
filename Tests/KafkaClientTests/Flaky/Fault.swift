import KafkaProtocol

/// What becomes of one request on its way through a `FlakyFront`, once it has come there.
enum Fault: Hashable, Sendable, CustomStringConvertible {
    /// The connection ends, and the broker never sees the request.
    case lostBefore
    /// The broker carries it out, and the connection ends in place of its answer.
    case lostAfter
    /// The broker carries it out, and the connection ends in the middle of its answer.
    case cut
    /// It is answered with this error, and the broker never sees it.
    case refused(ErrorCode)

    static let losses: [Fault] = [.lostBefore, .lostAfter, .cut]

    var description: String {
        switch self {
        case .lostBefore: "lost before"
        case .lostAfter: "lost after"
        case .cut: "cut"
        case .refused(let code): "refused with \(code)"
        }
    }
}

/// Which faults are still to come to which kind of request, and which have.
///
/// Each kind meets each of its faults once, in an order and at moments that the seed decides: the nth request of a kind has the same
/// fate whatever the others do. Once it has met all, connections go on being lost now and then.
struct FaultPlan: Sendable {
    struct Met: Hashable, Sendable {
        let key: ApiKey
        let fault: Fault
    }

    private var due: [ApiKey: [Fault]] = [:]
    /// Drawn, and neither met nor given back yet.
    private var drawn: [ApiKey: Int] = [:]
    private var chances: [ApiKey: Chance] = [:]
    private let seed: UInt64
    /// Kinds of request that are refused for as long as it stands here.
    var refusing: [ApiKey: ErrorCode] = [:]
    private(set) var met: [Met: Int] = [:]
    private(set) var requestCounts: [ApiKey: Int] = [:]
    /// Pieces that were held back: each request and each answer.
    var delayCount = 0
    /// Answers in which the broker's address was replaced.
    var rewriteCount = 0

    /// - Parameter errors: what each kind of request is refused with; connections are lost under every kind.
    init(seed: UInt64, errors: [ApiKey: [ErrorCode]]) {
        self.seed = seed
        for (key, codes) in errors {
            var chance = Self.chance(key, seed)
            due[key] = (Fault.losses + codes.map { .refused($0) }).shuffled(using: &chance)
            chances[key] = chance
        }
    }

    private static func chance(_ key: ApiKey, _ seed: UInt64) -> Chance { Chance(seed: seed &* 1_000_003 &+ UInt64(key.rawValue)) }

    /// What becomes of the next request of this kind.
    /// - Parameter isPossible: whether this request can have that fault at all; one that it cannot have waits for another.
    mutating func draw(_ key: ApiKey, isPossible: (Fault) -> Bool) -> Fault? {
        requestCounts[key, default: 0] += 1
        if let code = refusing[key] { return take(key, .refused(code)) }
        var chance = chances[key] ?? Self.chance(key, seed)
        defer { chances[key] = chance }
        guard let faults = due[key] else { return nil }
        if faults.isEmpty { return chance.oneIn(30) ? take(key, Fault.losses.randomElement(using: &chance)) : nil }
        guard chance.oneIn(2), let index = faults.lastIndex(where: isPossible) else { return nil }
        return take(key, due[key]?.remove(at: index))
    }

    private mutating func take(_ key: ApiKey, _ fault: Fault?) -> Fault? {
        if fault != nil { drawn[key, default: 0] += 1 }
        return fault
    }

    mutating func meet(_ key: ApiKey, _ fault: Fault) {
        drawn[key, default: 0] -= 1
        met[Met(key: key, fault: fault), default: 0] += 1
    }

    /// The connection ended before it could happen: it comes to another request.
    mutating func giveBack(_ key: ApiKey, _ fault: Fault) {
        drawn[key, default: 0] -= 1
        if met[Met(key: key, fault: fault)] == nil { due[key, default: []].append(fault) }
    }

    /// Whether each of these kinds has met all its faults.
    func isSpent(_ keys: [ApiKey]) -> Bool { unmet(keys).isEmpty && keys.allSatisfy { drawn[$0, default: 0] == 0 } }

    func unmet(_ keys: [ApiKey]) -> [Met] { keys.flatMap { key in (due[key] ?? []).map { Met(key: key, fault: $0) } } }

    func count(_ key: ApiKey, _ fault: Fault) -> Int { met[Met(key: key, fault: fault)] ?? 0 }

    /// How many requests of this kind were carried out without their sender's hearing of it.
    func hiddenCount(_ key: ApiKey) -> Int { count(key, .lostAfter) + count(key, .cut) }
}
