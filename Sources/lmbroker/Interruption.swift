import Dispatch
import Glibc
import Synchronization

/// Ctrl-C and SIGTERM, turned into something to look at. A second one ends the process at once.
final class Interruption: @unchecked Sendable {
    // Unchecked: the sources are only made and cancelled here, and are safe to cancel from any thread.
    private let hasCome = Atomic(false)
    private let sources: [any DispatchSourceSignal]

    /// - Parameter handler: called once, on some thread, when the first signal comes.
    init(_ handler: @escaping @Sendable () -> Void) {
        let signals = [SIGINT, SIGTERM]
        sources = signals.map { DispatchSource.makeSignalSource(signal: $0, queue: .global()) }
        for number in signals { signal(number, SIG_IGN) }
        for source in sources {
            source.setEventHandler { [weak self] in
                guard let self else { return }
                if self.hasCome.exchange(true, ordering: .relaxed) { exit(130) }
                handler()
            }
            source.resume()
        }
    }

    deinit { for source in sources { source.cancel() } }

    var wasInterrupted: Bool { hasCome.load(ordering: .relaxed) }
}
