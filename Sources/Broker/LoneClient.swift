/// Knows whether a loop serves one client alone that asks, waits for the answer, and asks again, while all other connections are quiet. Such
/// a loop may do what others would have to wait for.
struct LoneClient {
    private var connection: ConnectionID?
    /// Since it was looked at the others.
    private var requestCount = 0
    /// Nobody else has been heard of lately, nor since.
    private(set) var isAlone = false

    /// After so many requests it is worth looking at the others.
    private static let requestCountMin = 16

    /// Notes a request. `waitingCount`: how many of the connection's await their answers, this one included.
    /// `othersAreQuiet`: whether nothing is to be expected of the other connections; asked now and then.
    mutating func noteRequest(of connection: ConnectionID, waitingCount: Int, othersAreQuiet: () -> Bool) {
        guard self.connection == connection, waitingCount == 1 else {
            self.connection = connection
            requestCount = 0
            isAlone = false
            return
        }
        guard !isAlone else { return }
        requestCount += 1
        guard requestCount >= Self.requestCountMin else { return }
        requestCount = 0
        isAlone = othersAreQuiet()
    }
}
