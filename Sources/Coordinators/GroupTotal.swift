internal import KafkaProtocol

/// A number of each group, and their sum.
struct GroupTotal: Sendable {
    private(set) var total = 0
    private var byGroup: [ExactString: Int] = [:]

    mutating func set(_ number: Int, of groupID: String) {
        total += number - byGroup[groupID, default: 0]
        byGroup[groupID] = number == 0 ? nil : number
    }
}
