import KafkaProtocol

/// Every request that the module can speak; its response comes with it.
let allRequests: [any Request.Type] = [
    ProduceRequest.self, FetchRequest.self, ListOffsetsRequest.self, MetadataRequest.self,
    OffsetCommitRequest.self, OffsetFetchRequest.self, FindCoordinatorRequest.self, JoinGroupRequest.self,
    HeartbeatRequest.self, LeaveGroupRequest.self, SyncGroupRequest.self, DescribeGroupsRequest.self,
    ListGroupsRequest.self, ApiVersionsRequest.self, CreateTopicsRequest.self, DeleteTopicsRequest.self,
    DeleteRecordsRequest.self, InitProducerIdRequest.self, OffsetForLeaderEpochRequest.self, AddPartitionsToTxnRequest.self,
    AddOffsetsToTxnRequest.self, EndTxnRequest.self, WriteTxnMarkersRequest.self, TxnOffsetCommitRequest.self,
    DescribeConfigsRequest.self, AlterConfigsRequest.self, DescribeLogDirsRequest.self, CreatePartitionsRequest.self,
    DeleteGroupsRequest.self, IncrementalAlterConfigsRequest.self, OffsetDeleteRequest.self, DescribeClusterRequest.self,
    DescribeProducersRequest.self, DescribeTransactionsRequest.self, ListTransactionsRequest.self,
    ConsumerGroupHeartbeatRequest.self, ConsumerGroupDescribeRequest.self, DescribeTopicPartitionsRequest.self,
    ElectLeadersRequest.self, AlterPartitionReassignmentsRequest.self, ListPartitionReassignmentsRequest.self,
]

/// A request and a response of one kind and version, as frames after their size prefix, randomly filled.
struct Sample {
    let version: Int16
    let request: [UInt8]
    let response: [UInt8]

    init<R: Request>(_: R.Type, version: Int16, seed: UInt64) {
        var filler = Filler(version: version, flexible: version >= R.flexibleFrom, seed: seed)
        let request = R { $0.fields(&filler) }
        let response = R.Response { $0.fields(&filler) }
        let payload = Filler.payload
        let clientID: String? = filler.coin() ? "probe" : nil
        self.version = version
        self.request = Array(
            encodeRequest(request, correlationID: 7, clientID: clientID, version: version).joined(with: payload.span)[4...])
        self.response = Array(
            encodeResponse(response, correlationID: 7, version: version).joined(with: payload.span)[4...])
    }
}

/// Opens `request` at the start of `bytes` as a broker does.
func openRequest<R: Request>(_: R.Type, _ frame: Frame) throws(WireError) -> (RequestHeader, R) {
    let header = try RequestHeader(frame.span)
    return (header, try decodeRequest(R.self, header, frame.span))
}
