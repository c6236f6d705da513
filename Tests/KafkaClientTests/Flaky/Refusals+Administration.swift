import KafkaProtocol

extension RefusableApi {
    static let administration = [
        RefusableApi(CreateTopicsRequest.self, controllerErrors),
        RefusableApi(DeleteTopicsRequest.self, controllerErrors),
        RefusableApi(CreatePartitionsRequest.self, controllerErrors),
        RefusableApi(DescribeConfigsRequest.self, [.requestTimedOut]),
        RefusableApi(IncrementalAlterConfigsRequest.self, [.notController, .requestTimedOut]),
        RefusableApi(DescribeGroupsRequest.self, coordinatorErrors),
        RefusableApi(ConsumerGroupDescribeRequest.self, coordinatorErrors),
        RefusableApi(ListGroupsRequest.self, [.coordinatorLoadInProgress, .coordinatorNotAvailable]),
        RefusableApi(DeleteGroupsRequest.self, coordinatorErrors),
        RefusableApi(OffsetDeleteRequest.self, coordinatorErrors),
        RefusableApi(DescribeLogDirsRequest.self, []),
        RefusableApi(DescribeClusterRequest.self, []),
        RefusableApi(ApiVersionsRequest.self, []),
    ]
}

extension CreateTopicsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> CreateTopicsResponse? {
        CreateTopicsResponse { $0.topics = topics.map { topic in CreateTopicsResponse.Topic { ($0.name, $0.errorCode) = (topic.name, code) } } }
    }
}

extension DeleteTopicsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DeleteTopicsResponse? {
        let names = topics.isEmpty ? topicNames : topics.compactMap(\.name)
        return DeleteTopicsResponse { $0.responses = names.map { name in DeleteTopicsResponse.Topic { ($0.name, $0.errorCode) = (name, code) } } }
    }
}

extension CreatePartitionsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> CreatePartitionsResponse? {
        CreatePartitionsResponse { $0.results = topics.map { topic in CreatePartitionsResponse.Result { ($0.name, $0.errorCode) = (topic.name, code) } } }
    }
}

extension DescribeConfigsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DescribeConfigsResponse? {
        DescribeConfigsResponse {
            $0.results = resources.map { resource in
                DescribeConfigsResponse.Result {
                    ($0.errorCode, $0.resourceType, $0.resourceName) = (code, resource.resourceType, resource.resourceName)
                }
            }
        }
    }
}

extension IncrementalAlterConfigsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> IncrementalAlterConfigsResponse? {
        IncrementalAlterConfigsResponse {
            $0.responses = resources.map { resource in
                IncrementalAlterConfigsResponse.Resource {
                    ($0.errorCode, $0.resourceType, $0.resourceName) = (code, resource.resourceType, resource.resourceName)
                }
            }
        }
    }
}

extension DescribeGroupsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DescribeGroupsResponse? {
        DescribeGroupsResponse { $0.groups = groups.map { id in DescribeGroupsResponse.Group { ($0.groupID, $0.errorCode) = (id, code) } } }
    }
}

extension ConsumerGroupDescribeRequest: Refusable {
    func refusal(_ code: ErrorCode) -> ConsumerGroupDescribeResponse? {
        ConsumerGroupDescribeResponse { $0.groups = groupIDs.map { id in ConsumerGroupDescribeResponse.Group { ($0.groupID, $0.errorCode) = (id, code) } } }
    }
}

extension ListGroupsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> ListGroupsResponse? { ListGroupsResponse { $0.errorCode = code } }
}

extension DeleteGroupsRequest: Refusable {
    func refusal(_ code: ErrorCode) -> DeleteGroupsResponse? {
        DeleteGroupsResponse { $0.results = groupsNames.map { id in DeleteGroupsResponse.Result { ($0.groupID, $0.errorCode) = (id, code) } } }
    }
}

extension OffsetDeleteRequest: Refusable {
    func refusal(_ code: ErrorCode) -> OffsetDeleteResponse? { OffsetDeleteResponse { $0.errorCode = code } }
}

// These have no error that passes: only their connections are lost.

extension DescribeLogDirsRequest: Refusable {
    func refusal(_: ErrorCode) -> DescribeLogDirsResponse? { nil }
}

extension DescribeClusterRequest: Refusable {
    func refusal(_: ErrorCode) -> DescribeClusterResponse? { nil }
}

extension ApiVersionsRequest: Refusable {
    func refusal(_: ErrorCode) -> ApiVersionsResponse? { nil }
}
