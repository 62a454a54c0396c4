import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Kafka's own client against a broker: {@code Client BOOTSTRAP KEY SECRET}. Prints {@code ok}. */
public class Client {
    static final String TOPIC = "java";
    static final int PARTITIONS = 3;
    static final int RECORDS = 3000;

    static Properties connection(String bootstrap, String key, String secret) {
        var properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("security.protocol", "SASL_PLAINTEXT");
        properties.put("sasl.mechanism", "PLAIN");
        properties.put("sasl.jaas.config", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\""
                + key + "\" password=\"" + secret + "\";");
        properties.put("request.timeout.ms", "20000");
        properties.put("default.api.timeout.ms", "20000");
        return properties;
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    interface Call {
        void run() throws Exception;
    }

    static <T extends Exception> void fails(Class<T> expected, Call call) throws Exception {
        try {
            call.run();
        } catch (ExecutionException error) {
            check(expected.isInstance(error.getCause()), "expected " + expected + ", got " + error.getCause());
            return;
        }
        throw new AssertionError("expected " + expected + ", but it worked");
    }

    public static void main(String[] arguments) throws Exception {
        var connection = connection(arguments[0], arguments[1], arguments[2]);
        try (var admin = Admin.create(connection)) {
            administer(admin);
            produce(connection);
            consume(connection);
            offsets(admin);
            var wrong = connection(arguments[0], arguments[1], "wrong");
            try (var stranger = Admin.create(wrong)) {
                fails(SaslAuthenticationException.class, () -> stranger.listTopics().names().get());
            }
            admin.deleteTopics(List.of(TOPIC)).all().get();
            check(!admin.listTopics().names().get().contains(TOPIC), "the deleted topic is gone");
            fails(UnknownTopicOrPartitionException.class,
                    () -> admin.describeTopics(List.of(TOPIC)).allTopicNames().get());
        }
        System.out.println("ok");
    }

    static void administer(Admin admin) throws Exception {
        check(admin.describeCluster().nodes().get().size() == 1, "one node");
        var topic = new NewTopic(TOPIC, PARTITIONS, (short) 1).configs(Map.of("retention.ms", "-1"));
        admin.createTopics(List.of(topic)).all().get();
        fails(TopicExistsException.class, () -> admin.createTopics(List.of(topic)).all().get());
        check(admin.listTopics().names().get().contains(TOPIC), "the topic is listed");
        var described = admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC);
        check(described.partitions().size() == PARTITIONS, "partitions: " + described);
        check(described.partitions().get(0).leader() != null, "a leader: " + described);
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        var config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        check(config.get("retention.ms").value().equals("-1"), "retention.ms: " + config.get("retention.ms"));
    }

    static void produce(Properties connection) throws Exception {
        var properties = new Properties();
        properties.putAll(connection);
        properties.put("acks", "all");
        properties.put("enable.idempotence", "true");
        properties.put("compression.type", "lz4");
        properties.put("linger.ms", "5");
        var sent = new ArrayList<Future<RecordMetadata>>();
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < RECORDS; i++) {
                var record = new ProducerRecord<>(TOPIC, "key " + i % 100, "value " + i);
                record.headers().add("number", Integer.toString(i).getBytes());
                record.headers().add("number", "twice".getBytes());
                sent.add(producer.send(record));
            }
            producer.flush();
        }
        var places = new HashSet<String>();
        for (var future : sent) places.add(future.get().partition() + " " + future.get().offset());
        check(places.size() == RECORDS, "every record has its own place");
    }

    static void consume(Properties connection) {
        var properties = new Properties();
        properties.putAll(connection);
        properties.put("group.id", "java");
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        Set<String> values = new HashSet<>();
        Map<String, Integer> last = new HashMap<>();
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (values.size() < RECORDS && System.nanoTime() < deadline) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    int number = Integer.parseInt(record.value().substring("value ".length()));
                    check(values.add(record.value()), record.value() + " came twice");
                    check(last.getOrDefault(record.key(), -1) < number, "the order of a key");
                    last.put(record.key(), number);
                    var headers = new ArrayList<String>();
                    record.headers().headers("number").forEach(it -> headers.add(new String(it.value())));
                    check(headers.equals(List.of(Integer.toString(number), "twice")), "headers: " + headers);
                }
            }
            check(values.size() == RECORDS, "read " + values.size());
            consumer.commitSync();
        }
    }

    static void offsets(Admin admin) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> committed =
                admin.listConsumerGroupOffsets("java").partitionsToOffsetAndMetadata().get();
        var latest = new HashMap<TopicPartition, OffsetSpec>();
        for (int i = 0; i < PARTITIONS; i++) latest.put(new TopicPartition(TOPIC, i), OffsetSpec.latest());
        var ends = admin.listOffsets(latest).all().get();
        long total = 0;
        for (var end : ends.entrySet()) {
            total += end.getValue().offset();
            check(committed.get(end.getKey()).offset() == end.getValue().offset(), "committed to the end: " + end);
        }
        check(total == RECORDS, "the ends: " + ends);
        check(admin.listGroups().all().get().stream().anyMatch(it -> it.groupId().equals("java")), "the group is listed");
        var group = admin.describeConsumerGroups(List.of("java")).all().get().get("java");
        check(group.members().isEmpty(), "nobody is in the group: " + group);
    }
}
