import KafkaProtocol
import Testing

@testable import KafkaClient

/// One member of the classic protocol, step by step.
@Suite struct GroupMembershipTests {
    /// A membership with its actions collected, and a coordinator that says what the test wants.
    struct Script {
        var membership: GroupMembership
        var now: Int64 = 1_000_000
        var handed: [GroupMembership.Handoff] = []
        var asked: (ticket: UInt64, request: GroupMembership.Request)?
        var lookedUp: UInt64?
        var failure: ClientError?
        var hasLeft = false

        init(_ change: (inout GroupSettings) -> Void = { _ in }) {
            var settings = GroupSettings(groupID: "group")
            settings.backoff = Backoff(initialMs: 100, maximumMs: 1000)
            change(&settings)
            membership = GroupMembership(settings, memberID: "own-id", seed: 1)
        }

        mutating func tell(_ event: GroupMembership.Event) {
            for action in membership.handle(event, at: now) {
                switch action {
                case .send(let ticket, let request): asked = (ticket, request)
                case .lookUp(let ticket, _): lookedUp = ticket
                case .hand(let handoff): handed.append(handoff)
                case .left: hasLeft = true
                case .failed(let error): failure = error
                }
            }
        }

        mutating func answer(_ response: GroupMembership.Response) {
            guard let ticket = asked?.ticket else { return }
            asked = nil
            tell(.answered(ticket, .success(response)))
        }

        mutating func lose(_ error: ClientError = .connectionLost("gone")) {
            guard let ticket = asked?.ticket else { return }
            asked = nil
            tell(.answered(ticket, .failure(error)))
        }

        mutating func pass(_ ms: Int64) {
            now += ms
            tell(.tick)
        }

        /// What is asked now, by name.
        var question: String {
            switch asked?.request {
            case nil: "nothing"
            case .findCoordinator: "find"
            case .join: "join"
            case .sync: "sync"
            case .heartbeat: "heartbeat"
            case .leave: "leave"
            case .consumerHeartbeat: "consumer heartbeat"
            }
        }

        var join: JoinGroupRequest? { if case .join(let request) = asked?.request { request } else { nil } }

        /// Joins as a follower and is given `partitions`.
        mutating func joinAndSync(_ partitions: [Int32], generation: Int32 = 1, assignor: String = "range") {
            if question == "nothing" { pass(5_000) }
            if question == "find" { answer(.coordinator) }
            join(generation: generation, assignor: assignor)
            sync(partitions)
        }

        /// - Parameter leader: "me" for a group of its own.
        mutating func join(generation: Int32, assignor: String, leader: String = "other") {
            let subscription = join?.protocols.first?.metadata ?? []
            answer(
                .join(
                    JoinGroupResponse {
                        ($0.memberID, $0.generationID, $0.leader) = ("me", generation, leader)
                        ($0.protocolType, $0.protocolName) = ("consumer", assignor)
                        if leader == "me" { $0.members = [JoinGroupResponse.Member { ($0.memberID, $0.metadata) = ("me", subscription) }] }
                    }))
        }

        mutating func sync(_ partitions: [Int32]) {
            answer(.sync(SyncGroupResponse { $0.assignment = MemberAssignment(partitions.map { TopicPartition("topic", $0) }).bytes }))
        }
    }

    private func names(_ numbers: Int32...) -> Set<TopicPartition> { Set(numbers.map { TopicPartition("topic", $0) }) }

    @Test func aMemberFindsJoinsSyncsAndBeats() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        #expect(script.question == "find")
        script.answer(.coordinator)
        #expect(script.join?.memberID == "" && script.join?.protocols.map(\.name) == ["range", "cooperative-sticky"])
        script.answer(
            .join(
                JoinGroupResponse {
                    $0.errorCode = .memberIDRequired
                    $0.memberID = "given"
                }))
        #expect(script.join?.memberID == "given")
        script.joinAndSync([0, 1])
        #expect(script.handed == [.assign(names(0, 1))])
        script.tell(.handedOver)
        #expect(script.question == "nothing")
        #expect(script.membership.nextDeadline == script.now + 3_000)
        script.pass(3_000)
        #expect(script.question == "heartbeat")
        script.answer(.heartbeat(HeartbeatResponse()))
        #expect(script.membership.identity == GroupMembership.Identity(memberID: "me", generation: 1))
    }

    @Test func theLeaderDividesForAll() throws {
        var script = Script { $0.assignors = [.roundRobin] }
        script.tell(.subscribe(["topic"]))
        script.answer(.coordinator)
        script.answer(
            .join(
                JoinGroupResponse {
                    ($0.memberID, $0.generationID, $0.leader, $0.protocolName) = ("a", 1, "a", "roundrobin")
                    $0.members = ["a", "b"].map { id in
                        JoinGroupResponse.Member {
                            ($0.memberID, $0.metadata) = (id, MemberSubscription(topics: id == "b" ? ["topic", "more"] : ["topic"]).bytes)
                        }
                    }
                }))
        let facts = ["topic", "more"].map { ($0, GroupMembership.TopicFacts(id: Uuid(), partitionCount: 2)) }
        script.tell(.lookedUp(try #require(script.lookedUp), .success(Dictionary(uniqueKeysWithValues: facts))))
        guard case .sync(let request) = script.asked?.request else { throw ClientError.invalid("no sync but \(script.question)") }
        let given = try Dictionary(
            uniqueKeysWithValues: request.assignments.map { ($0.memberID, Set(try MemberAssignment($0.assignment).partitions)) })
        #expect(given["a"] == [TopicPartition("topic", 0)])
        #expect(given["b"] == [TopicPartition("topic", 1), TopicPartition("more", 0), TopicPartition("more", 1)])
    }

    @Test func aLeaderRebalancesWhenATopicGrows() throws {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.answer(.coordinator)
        script.answer(
            .join(
                JoinGroupResponse {
                    ($0.memberID, $0.generationID, $0.leader, $0.protocolName) = ("a", 1, "a", "range")
                    $0.members = [JoinGroupResponse.Member { ($0.memberID, $0.metadata) = ("a", MemberSubscription(topics: ["topic"]).bytes) }]
                }))
        func facts(_ count: Int32) -> [String: GroupMembership.TopicFacts] { ["topic": .init(id: Uuid(), partitionCount: count)] }
        script.tell(.lookedUp(try #require(script.lookedUp), .success(facts(1))))
        script.sync([0])
        script.tell(.handedOver)
        script.lookedUp = nil
        script.pass(script.membership.settings.metadataRefreshMs)
        script.answer(.heartbeat(HeartbeatResponse()))
        script.tell(.lookedUp(try #require(script.lookedUp), .success(facts(2))))
        #expect(script.handed.last == .revoke(names(0)))
    }

    @Test func eagerMembersGiveEverythingUpBeforeTheyJoinAgain() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0, 1])
        script.tell(.handedOver)
        script.pass(3_000)
        script.answer(.heartbeat(HeartbeatResponse { $0.errorCode = .rebalanceInProgress }))
        #expect(script.handed.last == .revoke(names(0, 1)))
        // Whoever works on records takes its time; the member stays alive.
        script.pass(3_000)
        #expect(script.question == "heartbeat")
        script.answer(.heartbeat(HeartbeatResponse { $0.errorCode = .rebalanceInProgress }))
        script.tell(.handedOver)
        #expect(script.join?.memberID == "me")
        script.joinAndSync([1], generation: 2)
        #expect(script.handed.last == .assign(names(1)))
    }

    /// Holds partitions 0 and 1 of generation 1, and is joining again.
    private func cooperativeMemberToldOfARebalance(_ change: (inout GroupSettings) -> Void = { _ in }) -> Script {
        var script = Script {
            $0.assignors = [.cooperativeSticky]
            change(&$0)
        }
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0, 1], assignor: "cooperative-sticky")
        script.tell(.handedOver)
        script.pass(3_000)
        script.answer(.heartbeat(HeartbeatResponse { $0.errorCode = .rebalanceInProgress }))
        return script
    }

    @Test func cooperativeMembersGiveUpOnlyWhatMovesAndJoinAgain() throws {
        var script = cooperativeMemberToldOfARebalance()
        let told = try MemberSubscription(try #require(script.join?.protocols.first?.metadata))
        #expect(Set(told.owned) == names(0, 1) && told.generation == 1)
        script.joinAndSync([1], generation: 2, assignor: "cooperative-sticky")
        #expect(script.handed == [.assign(names(0, 1)), .revoke(names(0))])
        script.tell(.handedOver)
        #expect(script.handed.last == .assign([]))
        script.tell(.handedOver)
        #expect(script.question == "join")
        let again = try MemberSubscription(try #require(script.join?.protocols.first?.metadata))
        #expect(Set(again.owned) == names(1) && again.generation == 2)
    }

    @Test func aForgottenMemberLosesWhatItHasAndComesBackAsANewOne() {
        for cooperative in [true, false] {
            var script = Script { $0.assignors = cooperative ? [.cooperativeSticky] : [.range] }
            script.tell(.subscribe(["topic"]))
            script.joinAndSync([0], assignor: cooperative ? "cooperative-sticky" : "range")
            script.tell(.handedOver)
            script.pass(3_000)
            script.answer(.heartbeat(HeartbeatResponse { $0.errorCode = .unknownMemberID }))
            #expect(script.handed.last == .lose(names(0)))
            #expect(script.question == "nothing")
            script.tell(.handedOver)
            #expect(script.join?.memberID == "")
        }
    }

    @Test func whatACommitHearsOfIsBelieved() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0])
        script.tell(.handedOver)
        // An answer about an earlier generation says nothing about this one.
        script.tell(.commitRefused(.illegalGeneration, generation: 0))
        #expect(script.handed.count == 1)
        script.tell(.commitRefused(.illegalGeneration, generation: 1))
        #expect(script.handed.last == .lose(names(0)))
        script.tell(.handedOver)
        #expect(script.join?.memberID == "me")
    }

    /// The commit's answer and the join's come over two connections, in any order.
    @Test func aCommitThatIsOvertakenByARebalanceCostsNothing() {
        var script = cooperativeMemberToldOfARebalance()
        #expect(script.question == "join")
        script.tell(.commitRefused(.illegalGeneration, generation: 1))
        #expect(script.handed == [.assign(names(0, 1))])
        script.joinAndSync([0, 1], generation: 2, assignor: "cooperative-sticky")
        script.tell(.handedOver)
        #expect(script.membership.identity == GroupMembership.Identity(memberID: "me", generation: 2))
        #expect(!script.handed.contains { if case .lose = $0 { true } else { false } })
    }

    @Test func aCoordinatorThatIsGoneForAWhileCostsNoRebalance() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.pass(3_000)
        script.lose()
        var attempts = 0
        while attempts < 5 {
            script.pass(2_000)
            #expect(script.question == "find")
            script.lose(.cannotConnect("nobody there"))
            attempts += 1
        }
        script.pass(2_000)
        script.answer(.coordinator)
        #expect(script.question == "heartbeat")
        script.answer(.heartbeat(HeartbeatResponse()))
        #expect(script.handed.count == 1 && script.membership.identity.generation == 1)
    }

    @Test func aMovedCoordinatorIsLookedForAnew() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.pass(3_000)
        script.answer(.heartbeat(HeartbeatResponse { $0.errorCode = .notCoordinator }))
        script.pass(200)
        #expect(script.question == "find")
    }

    @Test func aFencedMemberLosesWhatItHasAndFails() {
        var script = Script { $0.instanceID = "one" }
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.pass(3_000)
        script.answer(.heartbeat(HeartbeatResponse { $0.errorCode = .fencedInstanceID }))
        #expect(script.handed.last == .lose(names(0)) && script.failure == nil)
        script.tell(.handedOver)
        #expect(script.failure?.code == .fencedInstanceID)
        script.pass(100_000)
        #expect(script.question == "nothing" && script.membership.nextDeadline == nil)
    }

    @Test func whoLeavesGivesUpFirst() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.tell(.leave)
        #expect(script.handed.last == .revoke(names(0)) && script.question == "nothing")
        script.tell(.handedOver)
        #expect(script.question == "leave" && !script.hasLeft)
        script.answer(.leave(LeaveGroupResponse()))
        #expect(script.hasLeft)
    }

    @Test func whoLeavesInTheMiddleOfARebalanceHearsTheGenerationToCommitInAndWaitsForNothingMore() {
        for isJoinAnswered in [true, false] {
            var script = cooperativeMemberToldOfARebalance()
            #expect(script.question == "join")
            script.tell(.leave)
            #expect(script.handed.last == .revoke(names(0, 1)))
            if isJoinAnswered {
                script.joinAndSync([0, 1], generation: 2, assignor: "cooperative-sticky")
                #expect(script.membership.identity.generation == 2)
            }
            script.tell(.handedOver)
            #expect(script.question == "leave")
        }
    }

    /// The group has the next generation, and this member has not heard of it: what it commits in the old one is refused.
    @Test(arguments: ["join", "sync"])
    func whoLeavesAndMissedTheGenerationToCommitInAsksForItAgain(lost: String) {
        var script = cooperativeMemberToldOfARebalance()
        script.tell(.leave)
        if lost == "sync" {
            script.join(generation: 2, assignor: "cooperative-sticky")
            #expect(script.question == "sync")
        }
        script.lose()
        script.pass(1_000)
        script.answer(.coordinator)
        let known: Int32 = lost == "join" ? 1 : 2
        #expect(script.question == "nothing" && script.membership.identity.generation == known)
        script.tell(.commitRefused(lost == "join" ? .illegalGeneration : .rebalanceInProgress, generation: known))
        #expect(script.question == "join")
        script.joinAndSync([0, 1], generation: 3, assignor: "cooperative-sticky")
        #expect(script.membership.identity.generation == 3 && script.handed.last == .revoke(names(0, 1)))
        script.tell(.handedOver)
        #expect(script.question == "leave")
    }

    @Test func aStaticLeaderDoesNotGoBeforeItHasToldTheOthersWhatTheyHave() throws {
        var script = cooperativeMemberToldOfARebalance { $0.instanceID = "one" }
        script.tell(.leave)
        script.join(generation: 2, assignor: "cooperative-sticky", leader: "me")
        script.tell(.handedOver)
        #expect(!script.hasLeft)
        script.tell(.lookedUp(try #require(script.lookedUp), .success([:])))
        #expect(script.question == "sync" && !script.hasLeft)
        script.sync([])
        #expect(script.hasLeft)
    }

    @Test func aFarewellThatIsRefusedForAMomentIsSaidAgain() {
        for code in [ErrorCode.coordinatorLoadInProgress, .coordinatorNotAvailable, .notCoordinator] {
            var script = Script()
            script.tell(.subscribe(["topic"]))
            script.joinAndSync([0])
            script.tell(.handedOver)
            script.tell(.leave)
            script.tell(.handedOver)
            script.answer(.leave(LeaveGroupResponse { $0.errorCode = code }))
            script.pass(200)
            #expect(!script.hasLeft)
            if script.question == "find" { script.answer(.coordinator) }
            #expect(script.question == "leave")
            script.answer(.leave(LeaveGroupResponse()))
            #expect(script.hasLeft)
        }
    }

    @Test func aStaticMemberLeavesWithoutAWord() {
        var script = Script { $0.instanceID = "one" }
        script.tell(.subscribe(["topic"]))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.tell(.leave)
        script.tell(.handedOver)
        #expect(script.hasLeft && script.question == "nothing")
    }

    @Test func leavingDoesNotWaitForAJoin() {
        var script = Script()
        script.tell(.subscribe(["topic"]))
        script.answer(.coordinator)
        script.answer(
            .join(
                JoinGroupResponse {
                    $0.errorCode = .memberIDRequired
                    $0.memberID = "given"
                }))
        #expect(script.question == "join")
        let join = script.asked
        script.tell(.leave)
        #expect(script.question == "leave")
        // The join's answer, when it comes at last, changes nothing.
        if let join { script.tell(.answered(join.ticket, .success(.join(JoinGroupResponse())))) }
        script.answer(.leave(LeaveGroupResponse()))
        #expect(script.hasLeft)
    }

    @Test func whoIsBusyForTooLongLeavesAndComesBack() {
        var script = Script { $0.maxPollIntervalMs = 60_000 }
        script.tell(.subscribe(["topic"]))
        script.tell(.polling(true))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.tell(.polling(false))
        for _ in 0..<20 {
            script.pass(3_000)
            script.answer(.heartbeat(HeartbeatResponse()))
        }
        script.pass(3_000)
        #expect(script.question == "leave")
        #expect(script.handed.last == .lose(names(0)))
        script.answer(.leave(LeaveGroupResponse()))
        script.pass(10_000)
        #expect(script.question == "nothing")
        script.tell(.polling(true))
        script.tell(.handedOver)
        #expect(script.join?.memberID == "")
    }

    @Test(arguments: [false, true])
    func whoComesBackBeforeItsFarewellWasSaidJoinsAgain(isLookingForTheCoordinator: Bool) {
        var script = Script { $0.maxPollIntervalMs = 4_000 }
        script.tell(.subscribe(["topic"]))
        script.tell(.polling(true))
        script.joinAndSync([0])
        script.tell(.handedOver)
        script.tell(.polling(false))
        script.pass(3_000)
        #expect(script.question == "heartbeat")
        script.pass(999)
        script.lose()
        script.pass(2)
        #expect(script.handed.last == .lose(names(0)) && script.question == "nothing")
        if isLookingForTheCoordinator {
            script.pass(200)
            #expect(script.question == "find")
        }
        script.tell(.polling(true))
        script.tell(.handedOver)
        script.pass(200)
        script.answer(.coordinator)
        // The coordinator has it as a member still.
        #expect(script.join?.memberID == "me" && script.membership.identity.generation == -1)
        script.joinAndSync([0], generation: 2)
        #expect(script.handed.last == .assign(names(0)))
    }

    @Test func whatCannotBeHelpedEndsTheMembershipWithASentence() {
        for code in [ErrorCode.inconsistentGroupProtocol, .invalidSessionTimeout, .groupMaxSizeReached, .groupAuthorizationFailed] {
            var script = Script()
            script.tell(.subscribe(["topic"]))
            script.answer(.coordinator)
            script.answer(.join(JoinGroupResponse { $0.errorCode = code }))
            #expect(script.failure?.code == code)
        }
    }
}
