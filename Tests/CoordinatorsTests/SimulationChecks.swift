import KafkaProtocol

@testable import Coordinators

/// What must hold whatever happens; the first breach is kept. It sees what leaves the broker, not what the broker thinks.
struct SimulationChecks {
    private(set) var violation: String?
    private var generationID: Int32 = 0
    /// Identities by generation, as its leader was told.
    private var memberships: [Int32: Set<String>] = [:]
    private var identities: [String: String] = [:]
    /// Identities by generation and partition.
    private var owners: [Int32: [UInt8: String]] = [:]
    /// What each member was last let into.
    private var entered: [String: Int32] = [:]
    private var acknowledgedOffsets: [Int: Int64] = [:]
    private(set) var stableCount = 0

    mutating func fail(_ sentence: String) {
        if violation == nil { violation = sentence }
    }

    /// An answer leaves the broker: from here on somebody may act on it.
    mutating func left(_ response: GroupResponse, for identity: String, at now: Int64) {
        switch response {
        case .join(let response) where response.errorCode == .none: joined(response, identity, now)
        case .sync(let response) where response.errorCode == .none: synced(response, identity, now)
        default: break
        }
    }

    private mutating func joined(_ response: JoinGroupResponse, _ identity: String, _ now: Int64) {
        if response.generationID < generationID { fail("\(now): generation \(response.generationID) after \(generationID)") }
        generationID = max(generationID, response.generationID)
        entered[identity] = response.generationID
        identities[response.memberID] = identity
        guard !response.members.isEmpty else { return }
        let members = Set(response.members.map { $0.groupInstanceID ?? $0.memberID })
        if let before = memberships[response.generationID], before != members {
            fail("\(now): generation \(response.generationID) had members \(before.sorted()), and now \(members.sorted())")
        }
        memberships[response.generationID] = members
        if !response.members.contains(where: { $0.memberID == response.memberID }) { fail("\(now): \(identity) leads a group that it is not in") }
    }

    private mutating func synced(_ response: SyncGroupResponse, _ identity: String, _ now: Int64) {
        stableCount += 1
        guard let generationID = entered[identity] else { return fail("\(now): \(identity) has a part of a generation that it was not let into") }
        for partition in response.assignment {
            if let other = owners[generationID]?[partition], other != identity {
                fail("\(now): in generation \(generationID) partition \(partition) belongs to \(other), and to \(identity)")
            }
            owners[generationID, default: [:]][partition] = identity
        }
    }

    /// A commit is taken.
    mutating func admitted(_ generationID: Int32, at now: Int64) {
        if generationID < self.generationID { fail("\(now): a commit of generation \(generationID) is taken in \(self.generationID)") }
    }

    /// A committed offset becomes durable.
    mutating func committed(_ partition: Int, _ offset: Int64, before: Int64, at now: Int64) {
        if offset < before { fail("\(now): the offset of partition \(partition) goes back from \(before) to \(offset)") }
    }

    /// A member was told that its offset is safe.
    mutating func acknowledged(_ partition: Int, _ offset: Int64, stored: [Int64], at now: Int64) {
        acknowledgedOffsets[partition] = max(acknowledgedOffsets[partition] ?? 0, offset)
        if stored[partition] < offset { fail("\(now): offset \(offset) of partition \(partition) was acknowledged, and \(stored[partition]) is stored") }
    }

    /// Why the group is not at rest with every partition in one pair of hands; nil when it is.
    static func complaint(_ members: [SimulationMember], partitionCount: Int, waitingSince: Int64?, now: Int64) -> String? {
        if let waitingSince, now - waitingSince > 60_000 { return "a request of \(waitingSince) was never answered" }
        guard !members.isEmpty else { return nil }
        if let member = members.first(where: { !$0.isStable }) { return "\(member) gets nowhere, in minutes of calm" }
        let generations = Set(members.map(\.generationID))
        if generations.count > 1 { return "in minutes of calm there are generations \(generations.sorted())" }
        for partition in 0..<partitionCount {
            let owners = members.filter { $0.owned[partition] != nil }
            if owners.count != 1 { return "in minutes of calm partition \(partition) belongs to \(owners)" }
        }
        return nil
    }
}
