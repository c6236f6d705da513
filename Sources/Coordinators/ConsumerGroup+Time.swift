internal import KafkaProtocol

/// What happens when members fall silent or take too long.
extension ConsumerGroup {
    /// Monotonic milliseconds; `advance` has nothing to do before, and maybe not then.
    var nextDeadline: Int64? { deadlines.next }

    /// Fences whose time has run out: of the session, for giving up partitions, for rejoining.
    mutating func advance(to moment: Moment) -> GroupEffects {
        for memberID in deadlines.takeDue(by: moment.monotonicMs) { fence(memberID, at: moment) }
        return GroupEffects(groupID: id, records: takeRecords())
    }

    /// Its partitions go to others with their next heartbeats.
    mutating func fence(_ memberID: String, at moment: Moment) {
        guard members[memberID] != nil else { return }
        remove(memberID, at: moment)
        beginEpoch()
    }

    /// A sign of life.
    mutating func touch(_ memberID: String, _ options: GroupOptions, at moment: Moment) {
        guard let member = members[memberID] else { return }
        let timeoutMs = member.profile.classic?.sessionTimeoutMs ?? options.consumerSessionTimeoutMs
        let session = moment.monotonicMs + Int64(timeoutMs)
        var own = deadlines[memberID] ?? ConsumerDeadlines.Member(session: session)
        own.session = session
        deadlines[memberID] = own
    }

    /// Watches a member that has to give up partitions; to be called when that has changed. Members of the classic
    /// protocol are watched until they rejoin instead.
    mutating func watchRevocation(of memberID: String, at moment: Moment) {
        guard let member = members[memberID] else { return }
        let isRevoking = member.holding.state == .unrevoked && !member.isClassic
        deadlines[memberID]?.rebalance = isRevoking ? moment.monotonicMs + Int64(member.profile.rebalanceTimeoutMs) : nil
    }
}
