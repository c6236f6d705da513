internal import Synchronization

/// A response that several answers of the store complete, in any order and on any thread.
final class Gathering<Response: Sendable>: Sendable {
    private struct Draft: Sendable {
        var response: Response
        var left: Int
    }

    private let draft: Mutex<Draft>
    private let finish: @Sendable (Response) -> Void

    /// `finish` is called when `count` parts are added; at once if that is none.
    init(_ response: Response, count: Int, _ finish: @escaping @Sendable (Response) -> Void) {
        draft = Mutex(Draft(response: response, left: count))
        self.finish = finish
        if count == 0 { finish(response) }
    }

    func add(_ part: (inout Response) -> Void) {
        let complete = draft.withLock { draft -> Response? in
            part(&draft.response)
            draft.left -= 1
            return draft.left == 0 ? draft.response : nil
        }
        if let complete { finish(complete) }
    }
}
