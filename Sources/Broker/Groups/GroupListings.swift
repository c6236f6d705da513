internal import KafkaProtocol

/// ListGroups, versions 0–5: all groups, or those in some states (KIP-518) or of some types (KIP-848).
struct ListGroupsHandler: Handler {
    func handle(_ request: ListGroupsRequest, _ call: Call, _ reply: Reply) {
        call.offLoop(reply) {
            var response = ListGroupsResponse()
            response.groups = call.broker.groups.list(states: request.statesFilter, types: request.typesFilter)
            reply.send(response, capacity: 64 + 64 * response.groups.count)
        }
    }
}

/// DescribeGroups, versions 0–6: groups of the classic protocol with their members.
struct DescribeGroupsHandler: Handler {
    func handle(_ request: DescribeGroupsRequest, _ call: Call, _ reply: Reply) {
        call.offLoop(reply) {
            var response = DescribeGroupsResponse()
            response.groups = request.groups.uniqued.map { groupID in
                var group = call.broker.groups.describe(groupID, version: call.header.version)
                if request.includeAuthorizedOperations { group.authorizedOperations = AuthorizedOperations.group }
                return group
            }
            reply.send(response, capacity: 4096)
        }
    }
}

/// ConsumerGroupDescribe, versions 0–1 (KIP-848): groups of the next-generation protocol with their members.
struct ConsumerGroupDescribeHandler: Handler {
    func handle(_ request: ConsumerGroupDescribeRequest, _ call: Call, _ reply: Reply) {
        call.offLoop(reply) {
            var response = ConsumerGroupDescribeResponse()
            response.groups = request.groupIDs.uniqued.map { groupID in
                var group = call.broker.groups.describeConsumer(groupID)
                if request.includeAuthorizedOperations { group.authorizedOperations = AuthorizedOperations.group }
                return group
            }
            reply.send(response, capacity: 4096)
        }
    }
}

extension [String] {
    /// Each once, where it stands first: a group that is named a million times is answered once, since answers may be long.
    var uniqued: [String] {
        var seen: Set<ExactString> = []
        return filter { seen.insert($0) }
    }
}
