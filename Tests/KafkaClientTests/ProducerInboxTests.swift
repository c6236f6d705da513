import Testing

@testable import KafkaClient

@Suite(.timeLimit(.minutes(1)))
struct ProducerInboxTests {
    @Test func aLargeRecordThatWaitsForRoomKeepsNoSmallOnesWaiting() async {
        let inbox = ProducerInbox(byteCountMax: 100)
        #expect(inbox.reserve(90))
        let early = Task.immediate { await inbox.room(for: 20) }
        #expect(!inbox.reserve(95))
        let large = Task.immediate { await inbox.room(for: 95) }
        let late = Task.immediate { await inbox.room(for: 20) }
        inbox.release(30)
        await early.value
        await late.value
        #expect(inbox.reserve(20))
        inbox.release(80)
        await large.value
        #expect(inbox.reserve(95))
    }

    @Test func whoDoesNotSayForHowMuchWaitsForRoomForTheRecordThatHadNone() async {
        let inbox = ProducerInbox(byteCountMax: 100)
        #expect(inbox.reserve(90))
        #expect(!inbox.reserve(20))
        let waiting = Task.immediate { await inbox.room() }
        #expect(!inbox.reserve(95))
        inbox.release(30)
        await waiting.value
    }
}
