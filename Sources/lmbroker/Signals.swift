import Dispatch
import Glibc

/// The signals a broker acts on, as a sequence. Made before anything else, so that none is lost.
struct Signals {
    let received: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init() {
        // A client that goes away in the middle of an answer is no reason to die.
        signal(SIGPIPE, SIG_IGN)
        let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
        received = stream
        sources = [SIGTERM, SIGINT, SIGUSR1].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { continuation.yield(number) }
            source.resume()
            return source
        }
    }
}
