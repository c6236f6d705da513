internal import KafkaProtocol

/// What the members of a group are subscribed to, looked up among the topics that there are. Not durable: it is looked
/// up again when it is needed.
struct ConsumerSubscriptions: Sendable {
    /// The version of the directory at which the topics were looked up.
    private var version: UInt64?
    /// By pattern.
    private var resolved: [String: Resolved] = [:]
    /// The version of the directory at which the patterns were resolved, and when they were looked up, in monotonic milliseconds.
    private var resolvedVersion: UInt64?
    private var resolvedAtMs: Int64?
    /// What the patterns and their names take in memory.
    private(set) var byteCount = 0

    private struct Resolved: Sendable {
        var pattern: TopicPattern
        /// Nil before it was resolved for the first time.
        var names: Set<String>?
        /// Of the directory, when it was looked up last.
        var version: UInt64?
        /// A hundred times what that took, in milliseconds.
        var restMs = 0

        /// The names themselves are the topics'.
        var byteCount: Int { pattern.byteCount + (names?.count ?? 0) * 24 }
    }

    private mutating func countBytes() { byteCount = resolved.values.reduce(0) { $0 + $1.byteCount } }

    func knows(_ pattern: String) -> Bool { resolved[pattern] != nil }

    /// What is new to the group of a member's pattern; nil for no pattern and for one that it knows.
    func admit(_ pattern: String?, _ lookup: PatternLookup?) throws(Refusal) -> PatternLookup.Found? {
        guard let pattern, !knows(pattern) else { return nil }
        guard let lookup, lookup.text == pattern else {
            throw Refusal(.coordinatorLoadInProgress, "The group has just let go of the pattern. Ask again.")
        }
        return try lookup.found()
    }

    /// `isOnly`: no member has one.
    mutating func add(_ found: PatternLookup.Found, isOnly: Bool, at moment: Moment) {
        // The rest begins, or topics that have changed meanwhile would have it looked up once more here and now.
        if isOnly { (resolvedVersion, resolvedAtMs) = (found.version, moment.monotonicMs) }
        // The others may be resolved as of later topics, which this one is still to be held against.
        if found.version != resolvedVersion { resolvedVersion = nil }
        resolved[found.pattern.text] = Resolved(pattern: found.pattern, names: found.names, version: found.version, restMs: found.restMs)
        countBytes()
    }

    /// What topics a member wants, by name; they need not exist.
    func names(of profile: ConsumerMember.Profile) -> Set<String> {
        var names = Set(profile.topicNames)
        if let pattern = profile.topicPattern { names.formUnion(self.names(matching: pattern)) }
        return names
    }

    /// As of when the pattern was last resolved.
    func names(matching pattern: String) -> Set<String> { resolved[pattern]?.names ?? [] }

    /// Whether there is something that `refresh` has not seen: topics that have changed, or that changed while patterns rested.
    /// `restMs`: how long patterns rest.
    func isOutdated(_ topics: any TopicDirectory, restMs: Int64, at moment: Moment) -> Bool {
        version != topics.version || !resolved.isEmpty && resolvedVersion != version && hasRested(restMs, at: moment)
    }

    private func hasRested(_ restMs: Int64, at moment: Moment) -> Bool { resolvedAtMs.map { moment.monotonicMs - $0 >= restMs } ?? true }

    /// A hundred times what looking up all of its patterns takes, in milliseconds.
    var restMs: Int { resolved.values.reduce(0) { $0 + $1.restMs } }

    /// Of one pattern: a step takes some 10 ns, and a name up to a microsecond beside.
    static func restMs(names: Int, steps: Int) -> Int { names / 10 + steps / 1_000 }

    /// Whether it is not known yet what the pattern stands for: after a restart, with so many topics that not all patterns have had their turn.
    func isUnresolved(_ pattern: String?) -> Bool { pattern.map { resolved[$0] != nil && resolved[$0]?.names == nil } ?? false }
    var isUnresolved: Bool { resolved.values.contains { $0.names == nil } }

    /// Looks the patterns in use up again where topics have changed, as many as may be at a time, and the others the next time. After that
    /// they rest, so that groups with patterns cannot keep the broker busy when many topics come and go.
    mutating func refresh(patterns: Set<String>, _ topics: any TopicDirectory, restMs: Int64, at moment: Moment) {
        defer { countBytes() }
        version = topics.version
        for text in resolved.keys where !patterns.contains(text) { resolved[text] = nil }
        // After a restart: patterns were checked before they were written.
        for text in patterns where resolved[text] == nil {
            if let pattern = try? TopicPattern(text) { resolved[text] = Resolved(pattern: pattern, names: nil) }
        }
        guard !resolved.isEmpty, resolvedVersion != version || isUnresolved, hasRested(restMs, at: moment) else { return }
        let all = topics.names()
        // Those first that nobody knows anything of yet, then those that were looked up longest ago.
        let outdated = resolved.filter { $0.value.version != version }.sorted {
            ($0.value.names == nil ? 0 : 1, $0.value.version ?? 0, $0.key) < ($1.value.names == nil ? 0 : 1, $1.value.version ?? 0, $1.key)
        }
        var steps = TopicPattern.stepsMax
        var isWhole = true
        for (index, (text, old)) in outdated.enumerated() {
            var stepsSpent = steps
            do {
                resolved[text]?.names = try old.pattern.matching(all, stepsLeft: &steps)
                stepsSpent -= steps
            } catch {
                isWhole = index == 0
                // One that costs too much by itself keeps the names that it had.
                guard isWhole else { break }
                resolved[text]?.names = old.names ?? []
                steps = TopicPattern.stepsMax
            }
            resolved[text]?.version = version
            resolved[text]?.restMs = Self.restMs(names: all.count, steps: stepsSpent)
        }
        if isWhole { resolvedVersion = version }
        resolvedAtMs = moment.monotonicMs
    }
}

/// Why a request is not granted.
struct Refusal: Error {
    var code: ErrorCode
    /// For people.
    var message: String

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}

extension ConsumerGroup {
    /// Looks up what the group is subscribed to, and has the group assign anew if something of it has changed.
    /// `isAssigning`: an assignment is due anyway.
    mutating func refreshSubscriptions(_ environment: GroupEnvironment, isAssigning: Bool, at moment: Moment) {
        let restMs = environment.restMs(of: subscriptions)
        guard isAssigning || subscriptions.isOutdated(environment.topics, restMs: restMs, at: moment) else { return }
        subscriptions.refresh(patterns: patterns, environment.topics, restMs: restMs, at: moment)
        let hash = metadataHash(environment.topics)
        guard hash != header.metadataHash, isAssigning || !subscriptions.isUnresolved else { return }
        setMetadataHash(hash)
        if !isAssigning { beginEpoch() }
    }

    /// Each pattern once, however many members have it.
    var patterns: Set<String> { Set(members.values.compactMap(\.profile.topicPattern)) }

    /// All topics that members want, whether they exist or not.
    var subscribedNames: Set<String> {
        let named = members.values.reduce(into: Set<String>()) { $0.formUnion($1.profile.topicNames) }
        return patterns.reduce(into: named) { $0.formUnion(subscriptions.names(matching: $1)) }
    }

    /// Two sets of topics with equal hashes are taken for the same: ids are random, so nobody can make them collide.
    private func metadataHash(_ topics: any TopicDirectory) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ octets: some Sequence<UInt8>) { for octet in octets { hash = (hash ^ UInt64(octet)) &* 0x100_0000_01b3 } }
        func add(_ value: UInt64) { for shift in stride(from: UInt64(0), to: 64, by: 8) { add(CollectionOfOne(UInt8(truncatingIfNeeded: value >> shift))) } }
        for name in subscribedNames.sorted() {
            guard let topic = topics.topic(named: name) else { continue }
            add(name.utf8)
            add(topic.id.high)
            add(topic.id.low)
            add(UInt64(UInt32(bitPattern: topic.partitionCount)))
        }
        return Int64(bitPattern: hash)
    }

    /// What a member has of which it is not known yet whether its pattern stands for it.
    func heldUnresolved(by memberID: String, _ topics: any TopicDirectory) -> [TopicFacts] {
        guard let member = members[memberID], subscriptions.isUnresolved(member.profile.topicPattern) else { return [] }
        return targets[memberID]?.topics.keys.compactMap { topics.topic(id: $0) } ?? []
    }

    /// Computes the targets for the group's epoch.
    mutating func assign(_ environment: GroupEnvironment) {
        var problem = AssignmentProblem(members: [], partitionCounts: [:])
        var facts: [String: TopicFacts] = [:]
        for memberID in members.keys.sorted() {
            guard let member = members[memberID] else { continue }
            var topicIDs: Set<Uuid> = []
            for name in subscriptions.names(of: member.profile) {
                guard let topic = facts[name] ?? environment.topics.topic(named: name) else { continue }
                facts[name] = topic
                topicIDs.insert(topic.id)
                problem.partitionCounts[topic.id] = topic.partitionCount
            }
            let previous = targets[memberID] ?? PartitionSet()
            // It keeps what it has until it is known what it wants.
            for topic in heldUnresolved(by: member.id, environment.topics) {
                topicIDs.insert(topic.id)
                problem.partitionCounts[topic.id] = topic.partitionCount
            }
            problem.members.append(.init(id: memberID.text, topicIDs: topicIDs, previous: previous))
        }
        let sets = assignor(environment.options).assign(problem)
        for (member, target) in zip(problem.members, sets) { setTarget(target, of: member.id) }
        finishAssignment()
    }
}
