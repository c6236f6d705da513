import Synchronization
import Testing

@testable import Broker

@Suite struct ByteBudgetTests {
    @Test func reliefIsToldOnceWhenUseComesBackWithinTheLimit() {
        let relieved = Mutex(0)
        let budget = ByteBudget(limit: 100) { relieved.withLock { $0 += 1 } }
        budget.take(100)
        #expect(!budget.isExhausted)
        budget.take(50)
        #expect(budget.isExhausted)
        budget.giveBack(20)
        #expect(relieved.withLock { $0 } == 0)
        budget.giveBack(40)
        budget.giveBack(40)
        #expect(!budget.isExhausted)
        #expect(relieved.withLock { $0 } == 1)
    }

    @Test func admissionGrantsWhatIsLeftAndNeverLessThanTheLeast() {
        let budget = ByteBudget(limit: 100)
        #expect(budget.admit(60, least: 10) == 60)
        #expect(budget.admit(60, least: 10) == 40)
        #expect(budget.admit(60, least: 10) == 10)
        #expect(budget.admit(5, least: 10) == 5)
        budget.giveBack(115)
        #expect(budget.usedBytes == 0)
    }
}

@Suite struct AdmissionTests {
    @Test func connectionsAreCountedInAllAndByAddress() throws {
        let admission = Admission()
        try admission.enter("a", limit: 3, limitPerHost: 2)
        try admission.enter("a", limit: 3, limitPerHost: 2)
        #expect(throws: Admission.Refusal.fullForHost(limit: 2)) { try admission.enter("a", limit: 3, limitPerHost: 2) }
        try admission.enter("b", limit: 3, limitPerHost: 2)
        #expect(throws: Admission.Refusal.full(limit: 3)) { try admission.enter("c", limit: 3, limitPerHost: 2) }
        admission.leave("a")
        try admission.enter("c", limit: 3, limitPerHost: 2)
        #expect(admission.total == 3)
    }
}
