internal import KafkaProtocol

// What producers ask about their transactions. Each is the coordinator's whole business; the answer comes when what it says is on disk.

/// InitProducerId, versions 0–5: a producer id and epoch, for idempotent producing (KIP-98) or for a transactional id, whose
/// open transaction is aborted and whose former holder is fenced in the same step (KIP-360, KIP-588, KIP-890).
struct InitProducerIdHandler: Handler {
    func handle(_ request: InitProducerIdRequest, _ call: Call, _ reply: Reply) {
        call.broker.transactions.initProducerID(request, call, reply)
    }
}

/// AddPartitionsToTxn, versions 0–5. From version 4 on it is for brokers: several transactions, or only a question (KIP-890).
struct AddPartitionsToTxnHandler: Handler {
    func handle(_ request: AddPartitionsToTxnRequest, _ call: Call, _ reply: Reply) { call.broker.transactions.addPartitions(request, call, reply) }
}

/// AddOffsetsToTxn, versions 0–4.
struct AddOffsetsToTxnHandler: Handler {
    func handle(_ request: AddOffsetsToTxnRequest, _ call: Call, _ reply: Reply) { call.broker.transactions.addOffsets(request, call, reply) }
}

/// EndTxn, versions 0–5: 5 bumps the epoch with every end (KIP-890).
struct EndTxnHandler: Handler {
    func handle(_ request: EndTxnRequest, _ call: Call, _ reply: Reply) { call.broker.transactions.end(request, call, reply) }
}

/// DescribeTransactions, version 0 (KIP-664).
struct DescribeTransactionsHandler: Handler {
    func handle(_ request: DescribeTransactionsRequest, _ call: Call, _ reply: Reply) {
        call.offLoop(reply) { reply.send(call.broker.transactions.describe(request), capacity: 1024) }
    }
}

/// ListTransactions, versions 0–1 (KIP-664; 1: by duration, KIP-994).
struct ListTransactionsHandler: Handler {
    func handle(_ request: ListTransactionsRequest, _ call: Call, _ reply: Reply) {
        call.offLoop(reply) { reply.send(call.broker.transactions.list(request), capacity: 4096) }
    }
}

extension AddPartitionsToTxnRequest {
    /// The same with each partition once, as each transaction has it.
    var namingEachOnce: Self {
        func once(_ topics: [Topic]) -> [Topic] {
            var named = NamedPartitions()
            return topics.map { topic in
                var topic = topic
                topic.partitions = named.new(topic.partitions, of: topic.name)
                return topic
            }
        }
        var request = self
        request.topics = once(topics)
        for index in request.transactions.indices { request.transactions[index].topics = once(request.transactions[index].topics) }
        return request
    }

    /// The answer where `code` became of every partition.
    func refused(_ code: ErrorCode) -> AddPartitionsToTxnResponse {
        func results(_ topics: [Topic]) -> [AddPartitionsToTxnResponse.Topic] {
            topics.map { topic in
                AddPartitionsToTxnResponse.Topic {
                    $0.name = topic.name
                    $0.resultsByPartition = topic.partitions.map { index in
                        AddPartitionsToTxnResponse.Partition {
                            $0.partitionIndex = index
                            $0.partitionErrorCode = code
                        }
                    }
                }
            }
        }
        return AddPartitionsToTxnResponse {
            $0.resultsByTopic = results(topics)
            $0.resultsByTransaction = transactions.map { transaction in
                AddPartitionsToTxnResponse.Transaction {
                    $0.transactionalID = transaction.transactionalID
                    $0.topicResults = results(transaction.topics)
                }
            }
        }
    }
}
