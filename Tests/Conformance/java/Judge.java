import java.util.Map;
import java.util.TreeMap;

/**
 * Java's own client as a judge of a broker: {@code Judge list} names the scenarios, {@code Judge HOST:PORT NAME} runs one and
 * ends with 0 if all that it expects is so.
 */
final class Judge {
    interface Scenario {
        void run(Cluster cluster) throws Exception;
    }

    static final Map<String, Scenario> SCENARIOS = new TreeMap<>();

    public static void main(String[] arguments) throws Exception {
        Records.scenarios(SCENARIOS);
        Groups.scenarios(SCENARIOS);
        Transactions.scenarios(SCENARIOS);
        Topics.scenarios(SCENARIOS);
        Administration.scenarios(SCENARIOS);
        if (arguments[0].equals("list")) {
            SCENARIOS.keySet().forEach(System.out::println);
            return;
        }
        try (var cluster = new Cluster(arguments[0], arguments[1])) {
            SCENARIOS.get(arguments[1]).run(cluster);
        } catch (Throwable failure) {
            failure.printStackTrace();
            // Clients that a failed scenario left open have threads of their own.
            System.exit(1);
        }
    }
}
