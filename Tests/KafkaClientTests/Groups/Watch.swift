import Synchronization

/// Something that changes, and can be awaited to be so.
final class Watch<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        var waiters: [(test: @Sendable (Value) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state: Mutex<State>

    init(_ value: Value) { state = Mutex(State(value: value)) }

    var value: Value { state.withLock { $0.value } }

    func change(_ body: (inout Value) -> Void) {
        let done = state.withLock { state in
            body(&state.value)
            let done = state.waiters.filter { $0.test(state.value) }.map(\.continuation)
            if !done.isEmpty {
                let value = state.value
                state.waiters.removeAll { $0.test(value) }
            }
            return done
        }
        for continuation in done { continuation.resume() }
    }

    /// Returns when the value passes the test; the suite's time limit ends a wait for ever.
    func until(_ test: @escaping @Sendable (Value) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isSo = state.withLock { state in
                if test(state.value) { return true }
                state.waiters.append((test, continuation))
                return false
            }
            if isSo { continuation.resume() }
        }
    }
}
