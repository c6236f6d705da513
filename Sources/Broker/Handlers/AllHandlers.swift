/// What the broker speaks. A handler is offered to clients by standing here.
let allHandlers: [any Handler] = dataHandlers + groupHandlers + transactionHandlers + adminHandlers

/// Records and offsets.
private let dataHandlers: [any Handler] = [
    ApiVersionsHandler(),
    DescribeProducersHandler(),
    FetchHandler(),
    FindCoordinatorHandler(),
    ListOffsetsHandler(),
    OffsetForLeaderEpochHandler(),
    ProduceHandler(),
]

/// Groups and their offsets.
private let groupHandlers: [any Handler] = [
    ConsumerGroupDescribeHandler(),
    ConsumerGroupHeartbeatHandler(),
    DeleteGroupsHandler(),
    DescribeGroupsHandler(),
    HeartbeatHandler(),
    JoinGroupHandler(),
    LeaveGroupHandler(),
    ListGroupsHandler(),
    OffsetCommitHandler(),
    OffsetDeleteHandler(),
    OffsetFetchHandler(),
    SyncGroupHandler(),
]

/// Producer ids and transactions.
private let transactionHandlers: [any Handler] = [
    AddOffsetsToTxnHandler(),
    AddPartitionsToTxnHandler(),
    DescribeTransactionsHandler(),
    EndTxnHandler(),
    InitProducerIdHandler(),
    ListTransactionsHandler(),
    TxnOffsetCommitHandler(),
    WriteTxnMarkersHandler(),
]
