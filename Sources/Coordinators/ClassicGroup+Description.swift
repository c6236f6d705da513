internal import KafkaProtocol

/// What ListGroups and DescribeGroups show.
extension ClassicGroup {
    var listed: ListGroupsResponse.Group {
        ListGroupsResponse.Group {
            $0.groupID = id
            $0.protocolType = protocolType ?? ""
            $0.groupState = state.name
            $0.groupType = "classic"
        }
    }

    /// Metadata is shown of a settled group only: before, nobody knows which of its protocols counts.
    var described: DescribeGroupsResponse.Group {
        let isStable = state == .stable
        return DescribeGroupsResponse.Group {
            $0.groupID = id
            $0.groupState = state.name
            $0.protocolType = protocolType ?? ""
            $0.protocolData = isStable ? protocolName ?? "" : ""
            $0.members = membersInOrder.map { member in
                DescribeGroupsResponse.Member {
                    $0.memberID = member.id
                    $0.groupInstanceID = member.groupInstanceID
                    $0.clientID = member.clientID
                    $0.clientHost = member.clientHost
                    $0.memberMetadata = isStable ? member.metadata(protocolName) : []
                    $0.memberAssignment = member.assignment
                }
            }
        }
    }
}
