/// What the broker speaks. A handler is offered to clients by standing here.
let allHandlers: [any Handler] = dataHandlers + adminHandlers

/// Records and offsets.
private let dataHandlers: [any Handler] = [
    ApiVersionsHandler(),
    DescribeProducersHandler(),
    FetchHandler(),
    FindCoordinatorHandler(),
    InitProducerIdHandler(),
    ListOffsetsHandler(),
    OffsetForLeaderEpochHandler(),
    ProduceHandler(),
]
