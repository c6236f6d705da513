/// What the time index says of an extent: by it records are found, and retention keeps them.
struct ExtentTime: Equatable, Sendable {
    /// Greatest timestamp of its records; −1: none has one.
    private(set) var own: Int64 = -1
    /// When the last of its batches was appended whose records have no time, in ms; −1: there is none.
    private var appended: Int64 = -1

    init() {}

    /// From a value of `times`.
    init(stored: Int64) {
        if stored >= -1 { own = stored } else { appended = Int64(clamping: stored.magnitude) }
    }

    /// As a value of `times`: what is kept by the time of its append has that below zero, where no search looks.
    var stored: Int64 { own >= 0 ? own : min(-appended, -1) }

    /// What retention goes by. Where some records have a time, those without go with them, as in Kafka.
    var kept: Int64 { own >= 0 ? own : appended }

    /// Takes in a batch with the greatest timestamp `timestamp`, which `kept` keeps where that is none.
    mutating func add(_ timestamp: Int64, keptBy kept: Int64) {
        own = max(own, timestamp)
        if timestamp < 0 { appended = max(appended, kept) }
    }
}
