internal import KafkaProtocol

/// Compacted extents, ready to take the place of consecutive others of their partition.
struct ExtentReplacement: Sendable {
    /// An extent as it was read: enough to know whether it is the same still.
    struct Old: Sendable {
        var baseOffset: Int64
        var byteCount: Int
        /// Of its key in `times`.
        var runningMaximum: Int64
        /// What its records are kept by; see `ExtentTime`.
        var keptTimestamp: Int64
        /// Checksum of its first batch.
        var crc: UInt32
    }

    struct New: Sendable {
        var baseOffset: Int64
        /// Longer than an extent only where it is one large batch.
        var bytes: [UInt8]
        var runningMaximum: Int64
        var time = ExtentTime()
    }

    let partition: Partition
    /// In offset order, without another extent between them.
    var old: [Old] = []
    /// In offset order, within the range of the old ones.
    var new: [New] = []
    /// Offsets of abort markers whose transactions have no batch left.
    var forgottenAborts: [Int64] = []
    /// Below it, offsets may be missing afterwards.
    var gapsEnd: Int64 = 0
    /// Of the last one of a pass: the state that the pass leaves behind.
    var finished: CleaningState?

    init(_ partition: Partition) { self.partition = partition }
}
