import Foundation

/// Runs each job of a task on a thread of its own. Tests wait in `recv`, and the cooperative pool has as many threads as
/// there are processors: two tests that wait at one time would be the end of all others.
final class ThreadPerJobExecutor: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        Thread.detachNewThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
