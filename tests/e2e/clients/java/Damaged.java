import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * What Kafka's own consumer tells of records that cannot be read: {@code Damaged BOOTSTRAP KEY SECRET TOPIC}. Prints the
 * offsets that it read of partition 0, and the error.
 */
public class Damaged {
    public static void main(String[] arguments) throws Exception {
        var properties = Client.connection(arguments[0], arguments[1], arguments[2]);
        var text = new StringDeserializer();
        var read = new ArrayList<Long>();
        try (var consumer = new KafkaConsumer<>(properties, text, text)) {
            var partition = new TopicPartition(arguments[3], 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            var deadline = System.nanoTime() + Duration.ofMinutes(1).toNanos();
            while (System.nanoTime() < deadline) {
                try {
                    for (var record : consumer.poll(Duration.ofSeconds(1))) read.add(record.offset());
                } catch (KafkaException error) {
                    System.out.println(read + " " + error.getMessage());
                    return;
                }
            }
        }
        throw new AssertionError("no error within a minute; read " + read);
    }
}
