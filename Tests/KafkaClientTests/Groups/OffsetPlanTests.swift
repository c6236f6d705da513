import Testing

@testable import KafkaClient
@testable import lmbroker

/// What `group reset` makes of its command line and files.
@Suite struct OffsetPlanTests {
    private let zero = TopicPartition("orders", 0)
    private let one = TopicPartition("orders", 1)

    @Test func durationsAreReadAsPeopleWriteThem() {
        #expect(TimeSpan.milliseconds("30s") == 30_000)
        #expect(TimeSpan.milliseconds("90m") == 5_400_000)
        #expect(TimeSpan.milliseconds("7d") == 604_800_000)
        #expect(TimeSpan.milliseconds("P1D") == 86_400_000)
        #expect(TimeSpan.milliseconds("PT1H30M") == 5_400_000)
        #expect(TimeSpan.milliseconds("P1DT2H3M4S") == 93_784_000)
        for text in ["", "5", "m", "P", "PT", "1h30m", "-5m", "PT5", "P5H", "5w", "99999999999999999999s", "9223372036854775807d"] {
            #expect(TimeSpan.milliseconds(text) == nil, "\(text)")
        }
    }

    @Test func partitionsAreSelectedByTopicAndNumber() {
        #expect(TopicSelection(argument: "orders")?.partitions == nil)
        #expect(TopicSelection(argument: "orders:0,3")?.partitions == [0, 3])
        for text in ["", ":1", "orders:", "orders:x", "orders:1,,2", "orders:-1", "a:1:2"] { #expect(TopicSelection(argument: text) == nil, "\(text)") }
    }

    @Test func filesOfOffsetsAreReadOrRefusedWithTheLine() throws {
        let text = "# saved yesterday\norders,0,12\r\n\n \"orders\" , 1 ,0\n"
        #expect(try OffsetFile.parse(text, name: "f") == [zero: 12, one: 0])
        for (text, place) in [("orders,0\n", "f:1"), ("orders,0,1\norders,x,1", "f:2"), ("orders,0,-1", "f:1"), ("orders,0,1\norders,0,2", "f:2")] {
            let error = #expect(throws: ClientError.self) { try OffsetFile.parse(text, name: "f") }
            #expect(error?.description.hasPrefix(place) == true, "\(text)")
        }
        #expect(throws: ClientError.self) { try OffsetFile.parse("\n", name: "f") }
    }

    @Test func aPlanStaysWithinThePartitions() {
        let plan = OffsetPlan(
            group: "billing", wanted: [zero: 500, one: -20], current: [zero: 7], first: [zero: 5, one: 3], end: [zero: 100, one: 9])
        #expect(
            plan.rows == [
                OffsetPlan.Row(partition: zero, current: 7, new: 100, end: 100, isClamped: true),
                OffsetPlan.Row(partition: one, current: nil, new: 3, end: 9, isClamped: true),
            ])
        #expect(plan.positions == [zero: OffsetPosition(offset: 100), one: OffsetPosition(offset: 3)])
        #expect(
            plan.json(isDryRun: true)
                == #"{"group":"billing","dry_run":true,"offsets":["#
                + #"{"topic":"orders","partition":0,"committed_offset":7,"new_offset":100,"end_offset":100},"#
                + #"{"topic":"orders","partition":1,"committed_offset":null,"new_offset":3,"end_offset":9}]}"#)
    }

    @Test func progressShowsLagAndWhoReads() {
        let member = GroupDescription.Member(
            id: "m-1", instanceID: nil, clientID: "app", host: "/10.0.0.1", assignment: [zero], target: [zero], epoch: nil)
        let description = GroupDescription(
            id: "billing", state: "Stable", type: "classic", assignor: "range", epoch: nil, coordinator: BrokerAddress(host: "localhost"),
            members: [member])
        let progress = GroupProgress(
            description,
            rows: [
                .init(partition: zero, committed: 10, end: 1_250, member: 0), .init(partition: one, committed: nil, end: 5, member: nil),
                .init(partition: TopicPartition("past", 0), committed: 4, end: nil, member: nil),
            ])
        #expect(progress.partitionLines.first == "billing, state Stable, type classic, assignor range, coordinator localhost:9092, 1 member")
        #expect(progress.partitionLines.contains { $0.split(separator: " ").map(String.init) == ["orders", "0", "10", "1250", "1,240", "app", "/10.0.0.1"] })
        #expect(progress.partitionLines.contains { $0.split(separator: " ").map(String.init) == ["past", "0", "4", "gone", "-", "-", "-"] })
        #expect(progress.partitionLines.last == "lag in all: 1,240, without 1 partition where nothing is committed")
        #expect(progress.memberLines.last?.hasSuffix("orders 0") == true)
        #expect(progress.json.contains(#""lag":1240,"member":"m-1""#))
    }

    @Test func partitionsAreSpelledInRuns() {
        let partitions = [0, 1, 2, 5, 7, 8].map { TopicPartition("a", $0) } + [TopicPartition("b", 3)]
        #expect(PartitionList.spelled(partitions) == "a 0-2,5,7-8; b 3")
    }
}
