/// Knows whether a loop serves one client alone that asks, waits for the answer, and asks again. Such a loop may do what others would have
/// to wait for.
struct LoneClient {
    private var connection: ConnectionID?
    private var requestCount = 0

    /// So many requests of others, or with others under way, would have shown.
    private static let requestCountMin = 16

    var isAlone: Bool { requestCount >= Self.requestCountMin }

    /// Notes a request. `waitingCount`: how many of the connection's await their answers, this one included.
    mutating func noteRequest(of connection: ConnectionID, waitingCount: Int) {
        if self.connection == connection, waitingCount == 1 {
            requestCount += 1
        } else {
            self.connection = connection
            requestCount = 0
        }
    }
}
