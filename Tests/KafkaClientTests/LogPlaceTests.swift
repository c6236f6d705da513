import KafkaClient
import Testing

@testable import lmbroker

struct LogPlaceTests {
    @Test(arguments: [
        ("beginning", PartitionPlace.earliest), ("end", .latest), ("42", .offset(42)), ("@1700000000000", .timestamp(1_700_000_000_000)),
        ("@2023-11-14T22:13:20Z", .timestamp(1_700_000_000_000)), ("@2023-11-14T23:13:20.5+01:00", .timestamp(1_700_000_000_500)),
        ("@2000-02-29", .timestamp(951_782_400_000)), ("@1970-01-01T00:01", .timestamp(60_000)),
        ("@2024-03-01T00:00:00-0530", .timestamp(1_709_271_000_000)), ("@2028-02-29", .timestamp(1_835_395_200_000)),
        ("@2026-12-31", .timestamp(1_798_675_200_000)),
    ])
    func placesAreRead(text: String, place: PartitionPlace) {
        let found = LogPlace(argument: text)?.place
        #expect(found == place)
    }

    @Test(arguments: [
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"), (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"), (Int64.max, "9223372036854775807"), (Int64.min, "-9223372036854775808"),
    ])
    func timesAreSpelled(milliseconds: Int64, text: String) {
        #expect(Timestamp.spelled(milliseconds) == text)
    }

    @Test(arguments: [
        "", "middle", "-1", "@", "@2023-13-01", "@2023-01-01T25:00", "@2023-01-01X", "1.5", "@2026-02-29", "@2026-04-31", "@2026-12-32", "@2026-01-00",
        "@2023-01-01T00:00+25:00", "@2023-01-01T00:00-01:60",
    ])
    func whatIsNoPlaceIsRefused(text: String) {
        let isPlace = LogPlace(argument: text) != nil
        #expect(!isPlace)
    }

    @Test func addressesHaveKafkasPortUnlessTheySayAnother() {
        #expect(BrokerAddress("host") == BrokerAddress(host: "host", port: 9092))
        #expect(BrokerAddress("host:1") == BrokerAddress(host: "host", port: 1))
        #expect(BrokerAddress("[::1]:9093") == BrokerAddress(host: "::1", port: 9093))
        #expect(BrokerAddress("[::1]") == BrokerAddress(host: "::1", port: 9092))
        for text in ["", ":9092", "host:", "host:0", "host:70000", "::1", "[::1", "[::1]x"] {
            let isAddress = BrokerAddress(text) != nil
            #expect(!isAddress)
        }
    }

    @Test func figuresAreGroupedAndScaled() {
        #expect(Figures.count(0) == "0")
        #expect(Figures.count(1_234_567) == "1,234,567")
        #expect(Figures.count(-1000) == "-1,000")
        #expect(Figures.bytes(999) == "999 B")
        #expect(Figures.bytes(12_345_678) == "12.3 MB")
        #expect(Figures.decimal(1234.5, digits: 0) == "1235")
        #expect(Figures.decimal(0.996, digits: 2) == "1.00")
        #expect(Figures.decimal(7.005_4, digits: 3) == "7.005")
        #expect(Figures.decimal(-0.25, digits: 1) == "-0.3")
        #expect(Figures.decimal(-0.001, digits: 2) == "0.00")
    }
}
