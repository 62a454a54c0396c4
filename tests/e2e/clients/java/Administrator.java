import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What administrators ask for through Kafka's own client, and a transactional producer: {@code Administrator BOOTSTRAP
 * KEY SECRET}. Prints what the producer is told, then {@code ok}.
 */
public class Administrator {
    static final String TOPIC = "administered";
    static final TopicPartition FIRST = new TopicPartition(TOPIC, 0);

    public static void main(String[] arguments) throws Exception {
        var connection = Client.connection(arguments[0], arguments[1], arguments[2]);
        try (var admin = Admin.create(connection)) {
            int node = admin.describeCluster().nodes().get().iterator().next().id();
            topics(admin, node);
            produce(connection);
            partitions(admin, node);
            configs(admin, node);
            nothing(admin);
            refused(admin);
        }
        connection.put("transactional.id", "java");
        connection.put("max.block.ms", "60000");
        try (var producer = new KafkaProducer<>(connection, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
        } catch (KafkaException error) {
            System.out.println(error.getMessage());
        }
        System.out.println("ok");
    }

    /** Replicas where the service puts them anyway, and pages of partitions. */
    static void topics(Admin admin, int node) throws Exception {
        admin.createTopics(List.of(new NewTopic(TOPIC, Map.of(0, List.of(node), 1, List.of(node))))).all().get();
        admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(3, List.of(List.of(node))))).all().get();
        var described = admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC);
        Client.check(described.partitions().size() == 3, "three partitions");
        Client.check(described.partitions().get(2).leader().id() == node, "the node leads");
    }

    static void produce(java.util.Properties connection) throws Exception {
        try (var producer = new KafkaProducer<>(connection, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>(TOPIC, 0, null, "value")).get();
        }
    }

    static void partitions(Admin admin, int node) throws Exception {
        var disks = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
        Client.check(disks.size() == 1, "one directory");
        var replicas = disks.values().iterator().next().replicaInfos();
        Client.check(replicas.get(FIRST).size() > 0, "the record takes room");
        var producers = admin.describeProducers(List.of(FIRST)).all().get().get(FIRST).activeProducers();
        Client.check(producers.size() == 1 && producers.get(0).lastSequence() == 0, "the producer is seen: " + producers);
        Client.fails(ElectionNotNeededException.class, () -> {
            var elected = admin.electLeaders(ElectionType.PREFERRED, Set.of(FIRST)).partitions().get().get(FIRST);
            throw new java.util.concurrent.ExecutionException(elected.get());
        });
        admin.electLeaders(ElectionType.PREFERRED, null).all().get();
        Client.check(admin.listPartitionReassignments().reassignments().get().isEmpty(), "nothing moves");
    }

    static void configs(Admin admin, int node) throws Exception {
        var broker = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(node));
        var group = new ConfigResource(ConfigResource.Type.GROUP, "group");
        var options = new DescribeConfigsOptions().includeDocumentation(true);
        var configs = admin.describeConfigs(List.of(broker, group), options).all().get();
        var partitions = configs.get(broker).get("num.partitions");
        Client.check(partitions.value().equals("1") && !partitions.documentation().isEmpty(), "" + partitions);
        Client.check(configs.get(group).entries().isEmpty(), "a group has no configs");
        var listed = admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all().get();
        Client.check(listed.contains(new ConfigResource(ConfigResource.Type.TOPIC, TOPIC)), "the topic is listed");
    }

    /** What there is none of. */
    static void nothing(Admin admin) throws Exception {
        Client.check(admin.describeAcls(AclBindingFilter.ANY).values().get().isEmpty(), "no ACLs");
        Client.check(admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().isEmpty(), "no quotas");
        Client.check(admin.describeUserScramCredentials().all().get().isEmpty(), "no credentials");
        Client.check(admin.listTransactions().all().get().isEmpty(), "no transactions");
    }

    /** What is not served is said, at once. */
    static void refused(Admin admin) throws Exception {
        var acl = new AclBinding(new ResourcePattern(ResourceType.TOPIC, TOPIC, PatternType.LITERAL),
                new AccessControlEntry("User:a", "*", AclOperation.READ, AclPermissionType.ALLOW));
        var moved = Map.of(FIRST, Optional.<org.apache.kafka.clients.admin.NewPartitionReassignment>empty());
        Client.fails(UnsupportedVersionException.class, () -> admin.createAcls(List.of(acl)).all().get(20, TimeUnit.SECONDS));
        Client.fails(UnsupportedVersionException.class,
                () -> admin.alterPartitionReassignments(moved).all().get(20, TimeUnit.SECONDS));
        Client.fails(UnsupportedVersionException.class,
                () -> admin.describeMetadataQuorum().quorumInfo().get(20, TimeUnit.SECONDS));
    }
}
