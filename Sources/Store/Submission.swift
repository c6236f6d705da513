public import KafkaProtocol
internal import Synchronization

/// A batch on its way into a partition. Its maker has validated it: the CRC, the lengths, the records.
public struct Append: Sendable {
    public let partition: Partition
    /// Holds the bytes until they are written.
    public let frame: Frame
    /// Where in the frame the batch stands, header included.
    public let slice: FrameSlice
    public let header: RecordBatchHeader
    /// What the batch says where it is a marker: the end of a transaction, which only the store writes.
    let marker: ControlRecord?

    public init(partition: Partition, frame: Frame, slice: FrameSlice, header: RecordBatchHeader) {
        self.init(partition: partition, frame: frame, slice: slice, header: header, marker: nil)
    }

    init(partition: Partition, frame: Frame, slice: FrameSlice, header: RecordBatchHeader, marker: ControlRecord?) {
        self.partition = partition
        self.frame = frame
        self.slice = slice
        self.header = header
        self.marker = marker
    }
}

/// What became of an append.
public struct AppendResult: Sendable, Equatable {
    public var errorCode: ErrorCode
    /// Why it was refused, for people.
    public var errorMessage: String?
    /// Offset of the first record; of the first writing, where the batch is a duplicate. −1 if refused.
    public var baseOffset: Int64
    /// In ms; −1 unless the topic's timestamps are the broker's.
    public var logAppendTimeMs: Int64
    public var logStartOffset: Int64

    public init(
        errorCode: ErrorCode, errorMessage: String? = nil, baseOffset: Int64 = -1, logAppendTimeMs: Int64 = -1, logStartOffset: Int64 = -1
    ) {
        self.errorCode = errorCode
        self.errorMessage = errorMessage
        self.baseOffset = baseOffset
        self.logAppendTimeMs = logAppendTimeMs
        self.logStartOffset = logStartOffset
    }
}

/// A change of what the store holds besides records, or a question only the committer can answer.
public enum AdminOperation: Sendable {
    /// `id`: nil for a random one.
    case createTopic(name: String, id: Uuid?, partitionCount: Int, configs: [String: String])
    case deleteTopic(id: Uuid)
    /// `total`: the number of partitions afterwards.
    case createPartitions(topicID: Uuid, total: Int)
    /// Replaces all overrides.
    case setTopicConfigs(topicID: Uuid, configs: [String: String])
    /// Replaces all of the broker's dynamic configs.
    case setBrokerConfigs([String: String])
    /// DeleteRecords and retention: `to` is the new log start offset, −1 for the high watermark.
    case moveLogStart(partition: PartitionID, to: Int64)
    /// Reserves so many producer ids, which nobody else will be given. The outcome names the first.
    case allocateProducerIDs(count: Int)
    case describeProducers(partition: PartitionID)
    /// Moves batches of the partition out of the journal, up to a few extents of them. Nothing to see for clients.
    case seal(partition: PartitionID)
    /// Lays other defaults under every topic's configs. Not kept: the broker's configuration says them at each start.
    case setTopicDefaults(TopicSettings)

    /// Admitted also when there is no room for records: what makes the store smaller, as a shorter retention does, and what
    /// writes little or nothing.
    var needsNoRoom: Bool {
        switch self {
        case .deleteTopic, .moveLogStart, .setTopicConfigs, .setBrokerConfigs, .setTopicDefaults, .describeProducers, .seal: true
        case .createTopic, .createPartitions, .allocateProducerIDs: false
        }
    }
}

public enum AdminOutcome: Sendable {
    case topic(Topic)
    /// The log start offset now.
    case logStart(Int64)
    case producerID(Int64)
    /// In no order.
    case producers([ProducerDescription])
    case done
    case failure(ErrorCode, String)
}

/// Where the answers of one event loop go.
public protocol Lane: AnyObject, Sendable {
    /// Whether fetches wait here for partitions to grow. Read by the committer after each commit; whoever parks a
    /// fetch makes it true first and then looks at the partition again.
    var isWatching: Bool { get }

    /// Called at most once per commit, when it is on disk or has failed, on the committer's thread, or on the one that called
    /// `Store.submitLone`. Hop to the loop once, if that is another, and there `finish()` each submission. `changed`: partitions whose high
    /// watermark or log start moved.
    func deliver(_ finished: [Submission], changed: [PartitionID])
}

/// One request's work for the committer, and what to do with its outcome.
public final class Submission: Sendable {
    enum Work: Sendable {
        case append([Append], finish: @Sendable ([AppendResult]) -> Void)
        case admin(AdminOperation, finish: @Sendable (AdminOutcome) -> Void)
        case groups([GroupChange], finish: @Sendable (StoreError?) -> Void)
        case transactions([TransactionChange], finish: @Sendable (StoreError?) -> Void)
        case replacement(ExtentReplacement, finish: @Sendable (StoreError?) -> Void)
    }

    let work: Work
    let lane: any Lane
    // Written by the committer before the submission is delivered, read by the lane's loop after.
    nonisolated(unsafe) var appendResults: [AppendResult] = []
    nonisolated(unsafe) var adminOutcome = AdminOutcome.done
    /// Why a change of groups or transactions, or a replacement, is not made.
    nonisolated(unsafe) var changeError: StoreError?

    private init(_ work: Work, _ lane: any Lane) {
        self.work = work
        self.lane = lane
    }

    public static func append(_ appends: [Append], lane: any Lane, finish: @escaping @Sendable ([AppendResult]) -> Void) -> Submission {
        Submission(.append(appends, finish: finish), lane)
    }

    public static func admin(_ operation: AdminOperation, lane: any Lane, finish: @escaping @Sendable (AdminOutcome) -> Void) -> Submission {
        Submission(.admin(operation, finish: finish), lane)
    }

    /// Changes of groups, in one commit with all else that comes at the time: all of them or none. No changes at all make a barrier,
    /// which is answered when everything submitted before it is on disk.
    ///
    /// `finish` is told nil when they are; `tooLarge` where one is beyond the limits of `GroupChange`; `full` where hardly any room is left,
    /// which deletions alone do not mind; else why nothing is written.
    public static func groups(_ changes: [GroupChange], lane: any Lane, finish: @escaping @Sendable (StoreError?) -> Void) -> Submission {
        Submission(.groups(changes, finish: finish), lane)
    }

    /// Steps of transactions, in one commit with all else that comes at the time: all of them or none. No changes at all make a barrier.
    ///
    /// `finish` is told nil when they are on disk; `refused` or `tooLarge` where one cannot be; `full` where hardly any room is left, which
    /// ends do not mind unless they are of no transactional id; else why nothing is written.
    public static func transactions(
        _ changes: [TransactionChange], lane: any Lane, finish: @escaping @Sendable (StoreError?) -> Void
    ) -> Submission {
        Submission(.transactions(changes, finish: finish), lane)
    }

    /// Compacted extents in the place of others, in one commit; `finish` is told nil, or why nothing was replaced: `refused` where the
    /// extents are not there any more as they were read.
    static func replacement(
        _ replacement: ExtentReplacement, lane: any Lane, finish: @escaping @Sendable (StoreError?) -> Void
    ) -> Submission {
        Submission(.replacement(replacement, finish: finish), lane)
    }

    /// Hands the outcome to whoever waits for it. Called once, by the lane.
    public func finish() {
        switch work {
        case .append(_, let finish): finish(appendResults)
        case .admin(_, let finish): finish(adminOutcome)
        case .groups(_, let finish): finish(changeError)
        case .transactions(_, let finish): finish(changeError)
        case .replacement(_, let finish): finish(changeError)
        }
    }

    /// Bytes of record batches, or of changes of groups.
    var byteCount: Int {
        switch work {
        case .append(let appends, _): appends.reduce(0) { $0 + $1.slice.length }
        case .admin: 0
        case .groups(let changes, _): changes.reduce(0) { $0 + $1.byteCount }
        case .transactions(let changes, _): changes.reduce(0) { $0 + $1.byteCount }
        case .replacement(let replacement, _): replacement.new.reduce(0) { $0 + $1.bytes.count }
        }
    }

    /// Records, and so few that they are written as quickly as one.
    public var isSmallAppend: Bool {
        guard case .append = work else { return false }
        return byteCount <= 16 << 10
    }

    func fail(_ error: StoreError) {
        switch work {
        case .append(let appends, _):
            appendResults = appends.map { _ in AppendResult(errorCode: error.errorCode, errorMessage: error.description) }
        case .admin: adminOutcome = .failure(error.errorCode, error.description)
        case .groups: changeError = error
        case .transactions, .replacement: changeError = error
        }
    }
}
