internal import KafkaProtocol

/// DeleteGroups, versions 0–2 (KIP-229): groups without members go, and their offsets with them.
struct DeleteGroupsHandler: Handler {
    func handle(_ request: DeleteGroupsRequest, _ call: Call, _ reply: Reply) {
        let groupIDs = request.groupsNames.uniqued
        var response = DeleteGroupsResponse()
        response.results = groupIDs.map { groupID in
            var result = DeleteGroupsResponse.Result()
            result.groupID = groupID
            return result
        }
        let gathering = Gathering(response, count: groupIDs.count) { reply.send($0) }
        for (index, groupID) in groupIDs.enumerated() {
            call.broker.groups.delete(groupID, call.lane) { code in
                gathering.add { $0.results[index].errorCode = code }
            }
        }
    }
}
