/// When something happens. The coordinators have no clock: time is an argument.
public struct Moment: Sendable, Equatable {
    /// Milliseconds of a clock that never jumps; what timeouts go by.
    public var monotonicMs: Int64
    /// Milliseconds since 1970, for what is shown or kept.
    public var wallClockMs: Int64

    public init(monotonicMs: Int64, wallClockMs: Int64) {
        self.monotonicMs = monotonicMs
        self.wallClockMs = wallClockMs
    }
}
