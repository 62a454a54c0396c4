//! The caps that clients meet or that have to fit one another, in one place, each with its reason (design.md, invariant 7).

use crate::slot::SLOTS;

/// One Kafka request frame, bytes: Kafka's `socket.request.max.bytes` (100 MiB).
pub const KAFKA_FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// A frame before the connection has authenticated, bytes: SASL and ApiVersions need far less.
pub const KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED: usize = 64 * 1024;

/// What the lists of one decoded Kafka message may take in memory, bytes: a frame of tiny elements unfolds to
/// many times its size, and record bytes, which are shared, do not count.
pub const KAFKA_DECODED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One record batch, bytes: Kafka's `message.max.bytes` default is 1 MiB + 12; ours is generous so that
/// clients with raised settings work, and small enough that a commit holds at least one.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Records in one batch: a hostile count must not drive allocation.
pub const BATCH_RECORDS_MAX: i32 = 1_000_000;

/// One batch after decompression, bytes: the defence against compression bombs.
pub const BATCH_DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One gRPC message, bytes: a fetch response of record batches plus framing.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One fetch response's record bytes, whatever the client asks for.
pub const FETCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Fetched records not sent yet, bytes, over all connections: what readers who are slow to take them hold in memory.
pub const READ_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The longest a fetch may wait, ms: keeps parked requests bounded in time.
pub const FETCH_WAIT_MS_MAX: i32 = 60_000;

/// One journal commit, bytes (log.md 7).
pub const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that may wait for one journal, over all its groups: the groups' own bounds end earlier, and this one keeps a slow
/// disk from filling memory should there be many of them.
pub const JOURNAL_WAITING_BYTES_MAX: usize = 64 * COMMIT_BYTES_MAX;

/// One entry of a group's log, bytes: a batch and its header.
pub const ENTRY_BYTES_MAX: usize = BATCH_BYTES_MAX + 4096;

/// Partitions of one topic.
pub const TOPIC_PARTITIONS_MAX: u32 = 10_000;

/// One value of a topic's config, bytes: the longest that means something is a list of replicas. Numbers may have
/// blanks around them and zeros in front, which must not fill the catalog.
pub const TOPIC_CONFIG_VALUE_BYTES_MAX: usize = 1024;

/// Partitions of one tenant unless its quota says otherwise.
pub const TENANT_PARTITIONS_DEFAULT: u32 = 10_000;

/// Connections of one process at one door: bounds file descriptors and buffers.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Requests of one connection read ahead of their answers: bounds memory per connection.
pub const PIPELINE_REQUESTS_MAX: usize = 64;

/// Idempotent producers remembered per partition; the oldest are forgotten first.
pub const PARTITION_PRODUCERS_MAX: usize = 10_000;

/// A producer that has written nothing for this long is forgotten, ms: Kafka's `producer.id.expiration.ms`.
pub const PRODUCER_SILENT_MS_MAX: i64 = 86_400_000;

/// Batches remembered per idempotent producer: Kafka's five.
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// The last changes that an image of the catalog remembers: a node that missed more than so many compares whole images,
/// which takes it a few milliseconds for a thousand topics.
pub const IMAGE_CHANGES_MAX: u64 = 4_096;

/// Members of one consumer group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;

/// Metadata, assignment or protocol bytes of one group member.
pub const GROUP_MEMBER_BYTES_MAX: usize = 1024 * 1024;

/// Consumer groups that one tenant may have whatever their names are: they are counted in each slot by itself
/// ([`SLOT_TENANT_GROUPS_MAX`]), for slots may lie on different nodes.
pub const TENANT_GROUPS_MAX: usize = 10_000;

/// Consumer groups of one tenant in one slot: [`TENANT_GROUPS_MAX`] groups spread over the slots come to 156 in each, and to
/// more than 256 in one of them as good as never (eight standard deviations).
pub const SLOT_TENANT_GROUPS_MAX: usize = 256;

/// Bytes of metadata with one committed offset: Kafka's `offset.metadata.max.bytes`.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4096;

/// The tail of a replica group kept in memory, bytes (log.md 9).
pub const TAIL_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// One SQL text, bytes: parsing is linear, but a statement is kept in the catalog.
pub const SQL_TEXT_BYTES_MAX: usize = 256 * 1024;

/// Nesting of SQL expressions: recursion must not meet the end of the stack.
pub const SQL_DEPTH_MAX: usize = 64;

/// Height of one SQL expression's tree, chains such as `a + b + c` included: those who walk it recurse.
pub const SQL_TREE_HEIGHT_MAX: usize = 128;

/// Nodes that one evaluation of a SQL expression visits: BETWEEN and CASE visit their operand more than once,
/// so that nesting them multiplies.
pub const SQL_EVALUATION_NODES_MAX: usize = 100_000;

/// The columns of one SQL source or answer, and the fields of one STRUCT: names are looked up among them one by one, and
/// each row has a place for every column.
pub const SQL_COLUMNS_MAX: usize = 2_000;

/// Values of one INSERT, the nulls of columns that it does not name included: short rows of a wide source are small in
/// the text and large in memory.
pub const SQL_INSERT_VALUES_MAX: usize = SQL_TEXT_BYTES_MAX;

/// One SQL value, bytes (sql.md 12).
pub const SQL_VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The shortest interval between two commits of a SQL query, ms: a commit is a write to the log.
pub const SQL_COMMIT_INTERVAL_MS_MIN: u64 = 100;

/// The longest: what is not committed is read again after a crash, and pull queries do not see it.
pub const SQL_COMMIT_INTERVAL_MS_MAX: u64 = 600_000;

/// The commit token of a pull query, bytes of its text (sql.md 21): the last commit of a shard takes 16 of them.
pub const SQL_COMMIT_TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Records of the processing log that one query may leave between two commits; the rest is counted.
pub const SQL_LOG_RECORDS_MAX: usize = 1_000;

/// One message of the processing log, bytes.
pub const SQL_LOG_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// SQL queries that `/metrics` shows one by one, each some ten series; more are in the sums only.
pub const SQL_METRIC_QUERIES_MAX: usize = 1_000;

/// Keys that one pull query looks up: `IN` lists of several key columns multiply.
pub const PULL_KEYS_MAX: usize = 10_000;

/// Rows that a pull query returns at most, unless LIMIT says less.
pub const PULL_ROWS_MAX: usize = 1_000_000;

/// Rows buffered for one push query's subscriber before it is cut (sql.md 22).
pub const PUSH_BUFFER_ROWS_MAX: usize = 10_000;

/// What all members of one consumer group say of themselves, or are assigned, together, bytes: the group's
/// metadata is one record and must fit in a batch with room to spare.
pub const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of group records appended as one batch before the next batch is begun.
pub const GROUP_APPEND_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a client id, instance id, protocol name or other short text of a group member.
pub const GROUP_TEXT_BYTES_MAX: usize = 1024;

/// Protocols that one group member may offer: real clients offer a handful.
pub const GROUP_PROTOCOLS_MAX: usize = 64;

/// One object of the tier, bytes (log.md 32).
pub const OBJECT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The footer of one object, bytes: an index entry per block of 256 KiB and run, for objects of the largest size.
pub const OBJECT_FOOTER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One snapshot object, bytes: read whole at restart.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Letters of the name of an organisation, environment or virtual cluster, and of a key's label: they go into
/// tables that people read.
pub const CATALOG_NAME_LENGTH_MAX: usize = 64;

/// Organisations of one cluster: every node keeps every row in memory.
pub const ORGANISATIONS_MAX: usize = 10_000;

/// Environments of one organisation.
pub const ORGANISATION_ENVIRONMENTS_MAX: usize = 100;

/// Virtual clusters of one environment.
pub const ENVIRONMENT_VIRTUAL_CLUSTERS_MAX: usize = 1_000;

/// Keys of one virtual cluster, revoked ones too: a script that makes keys in a loop must meet an end.
pub const TENANT_KEYS_MAX: usize = 10_000;

/// SQL rows of one virtual cluster.
pub const TENANT_SQL_ROWS_MAX: usize = 10_000;

/// Bytes of what the SQL engine keeps with one statement; the statement itself is bounded by [`SQL_TEXT_BYTES_MAX`].
pub const SQL_BODY_BYTES_MAX: usize = 1024 * 1024;

/// SQL rows of one virtual cluster together, bytes: the SQL engine lists them all in one gRPC message.
pub const TENANT_SQL_BYTES_MAX: usize = GRPC_MESSAGE_BYTES_MAX / 2;

/// Bytes of a SQL row's name: Kafka's limit for topics, which many of them name.
pub const SQL_ROW_NAME_BYTES_MAX: usize = 249;

/// Bytes of a SQL row's kind: a word.
pub const SQL_ROW_KIND_BYTES_MAX: usize = 32;

/// Topics that a SQL row may pin: those that one query reads and writes.
pub const SQL_PINNED_TOPICS_MAX: usize = 64;

/// Rows in one write of SQL rows: they become one transaction of the catalog.
pub const SQL_WRITE_ROWS_MAX: usize = 1_000;

/// Commands that wait for the controller; more are refused as overload.
pub const COMMANDS_WAITING_MAX: usize = 4_096;

/// Commands in one transaction of the catalog: bounds its size and the wait of the first.
pub const COMMANDS_BATCH_MAX: usize = 256;

/// Audit events kept; the oldest go first.
pub const AUDIT_EVENTS_MAX: u64 = 10_000;

/// Producer ids in one block: a broker asks for the next when half is used.
pub const PRODUCER_ID_BLOCK: u32 = 4_096;

/// Watchers of the catalog at once, at one node.
pub const CATALOG_WATCHERS_MAX: usize = 1_024;

/// Kafka requests received and not yet answered, bytes, over all connections: what their frames hold in memory.
pub const KAFKA_REQUESTS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Kafka answers of one connection that wait to be written, bytes; one answer more may be in the making.
pub const KAFKA_ANSWERS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Files of a local object store that are kept open for reading, each with two descriptors at most: a reader of old
/// records walks through them one after the other, and file descriptors are few.
pub const TIER_OPEN_FILES_MAX: u64 = 256;

/// File descriptors that are no connection: journal, catalog, SQL state, kept files of a local store (two each). Where the
/// system gives fewer than these and two doors' connections, the doors have fewer.
pub const DESCRIPTORS_OF_FILES: u64 = 512 + 2 * TIER_OPEN_FILES_MAX;

/// Memory for reads from a local object store that is kept for the next ones, bytes: two of the largest fetches.
pub const TIER_IDLE_BUFFERS_BYTES_MAX: usize = 2 * FETCH_BYTES_MAX;

/// Partitions in one answer of DescribeTopicPartitions: Kafka's `max.request.partition.size.limit`.
pub const KAFKA_DESCRIBED_PARTITIONS_MAX: usize = 2_000;

/// Producers in one answer of DescribeProducers, about 4 MiB: ten partitions that remember as many as they can.
pub const KAFKA_DESCRIBED_PRODUCERS_MAX: usize = 10 * PARTITION_PRODUCERS_MAX;

/// Connections beside the ordinary ones of the HTTP port that may ask for health: when every place is taken by who has
/// shown a key, an orchestrator must still see that the process is well. A few probes, each for a moment.
pub const HTTP_RESERVE: usize = 64;

/// The head of one HTTP request, bytes: tokens and tracing headers are a few KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Calls of one HTTP/2 connection at once: clients with one connection have their watches and push queries on it;
/// more wait at the client.
pub const HTTP2_STREAMS_MAX: u32 = 256;

/// Streams that an HTTP/2 client may open and take back before anybody could look at them: none does so by mistake.
pub const HTTP2_RESETS_MAX: usize = 64;

/// Bytes of one answer that wait in memory for a slow HTTP/2 client, beside the frame in hand.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Bytes of one HTTP/2 request on their way, not yet taken: bodies are read as they come, within the budget, so that
/// this is what a client may send ahead while it waits for room.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same, over all requests of one connection.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Bytes of requests of clients who have not logged in yet, over all connections: a budget of their own, so that what
/// tenants send never blocks a login, nor a stranger a tenant. One address that fills all its places with the largest
/// frames does not fill three quarters of it.
pub const LOGIN_REQUESTS_BYTES_MAX: usize = 128 * 1024 * 1024;

/// One connection gets one part in so many of the room for requests while others wait for some.
pub const ROOM_CONNECTION_SHARE: usize = 8;

/// One tenant (before login: one address) gets one part in so many while others wait; as much is kept free for those
/// who have less than their share, so that they need not wait for those who have more.
pub const ROOM_OWNER_SHARE: usize = 4;

/// While others wait for room, a request that has begun to arrive must bring so many bytes, or its rest, …
pub const ROOM_PROGRESS_BYTES: usize = 64 * 1024;

/// … in so many ms: slower than any link that Kafka is used over, and short enough for those who wait.
pub const ROOM_PATIENCE_MS: u64 = 10_000;

/// How long a client of the HTTP port may take from connecting to the end of its first request's head, TLS included, ms.
pub const HTTP_HEAD_MS_MAX: u64 = 10_000;

/// Bytes that a connection of the HTTP port is read at once before it has shown a key: the heads of many requests and what
/// comes between them before they are refused.
pub const STRANGER_BYTES_BURST: usize = 8 * 1024 * 1024;

/// … and in each second from then on: probes ask for health without a key.
pub const STRANGER_BYTES_PER_SECOND: usize = 16 * 1024;

/// One gRPC request of a method that carries no records, bytes: the partitions of a tenant by name, offsets of a group.
pub const GRPC_REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// One gRPC request with SQL, bytes: the text, and properties with it.
pub const GRPC_SQL_REQUEST_BYTES_MAX: usize = 2 * SQL_TEXT_BYTES_MAX;

/// A gRPC health question, bytes: the name of a service.
pub const HEALTH_REQUEST_BYTES_MAX: usize = 1024;

/// All questions of one gRPC reflection call, bytes: names of services and files.
pub const REFLECTION_REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The body of a gRPC request must bring 64 KiB, or its rest, …
pub const GRPC_BODY_PROGRESS_BYTES: usize = 64 * 1024;

/// … in so many ms, also when nobody waits for the memory: half a request serves nobody. Slower than any link in use.
pub const GRPC_BODY_PATIENCE_MS: u64 = 30_000;

/// And all of it in so many ms: the largest is 32 MiB.
pub const GRPC_BODY_MS_MAX: u64 = 300_000;

/// Streams without a key (watching gRPC health, reflection) at once, over all connections.
pub const STRANGERS_CALLS_MAX: usize = 256;

/// How long such a stream may last, ms: those who watch the health ask again.
pub const STRANGERS_CALL_MS_MAX: u64 = 300_000;

/// Connections that nobody has logged in on yet, of one process at the Kafka door: strangers leave half of the places to
/// those who have a key.
pub const STRANGERS_MAX: usize = CONNECTIONS_MAX / 2;

/// One address gets one part in so many of those places. (Behind a load balancer that hides addresses all clients
/// share one part, and only until they have logged in.)
pub const STRANGERS_ADDRESS_SHARE: usize = 4;

/// One organisation gets one part in so many of a door's places, over all of its virtual clusters, of which it makes as
/// many as it likes: its own clients are thousands, and nobody else finds the door closed.
pub const OWNER_SHARE: usize = 2;

/// How long a request may wait for its caller's debts before it is begun, ms: clients give up on an answer after 30 s,
/// and it must still be answered.
pub const DEBT_WAIT_MS_MAX: u64 = 10_000;

/// The same for a produce that wants no answer (acks=0), ms: nobody gives up on it, and who is not told of a refusal loses the
/// records.
pub const SILENT_DEBT_WAIT_MS_MAX: u64 = 60_000;

/// The same for what moves no bytes, ms: a third of the shortest session timeout that a group's member may have (6 s),
/// for who comes back over a new connection goes on with heartbeats, and nothing there says what it had asked for.
pub const MEMBER_DEBT_WAIT_MS_MAX: u64 = 2_000;

/// The same for a login, ms: a member that comes back waits for it before its first heartbeat, and for that as well.
pub const LOGIN_DEBT_WAIT_MS_MAX: u64 = MEMBER_DEBT_WAIT_MS_MAX / 2;

/// One piece of a SQL commit in the changelog, bytes before compression: a commit is a run of them, and a value that is
/// larger is cut over several. Small beside a batch, so that a large commit does not hold up the tenant's other writes.
pub const SQL_CHANGELOG_PIECE_BYTES_MAX: usize = 1024 * 1024;

/// Committed SQL state that is in the changelog only, bytes: more is flushed at once (sql.md 17).
pub const SQL_FLUSH_BYTES: usize = 16 * 1024 * 1024;

/// How long committed SQL state may be in the changelog only, ms: what a restart replays (sql.md 17).
pub const SQL_FLUSH_AFTER_MS: u64 = 30_000;

/// Runs in the changelog beyond which a shard that closes flushes first: fewer are left to the next one, so that a
/// statement in a loop does not make a table each time.
pub const SQL_CLOSE_RUNS_MAX: u64 = 256;

/// Earlier writers of one sink partition that the readers of a SQL shard remember, the oldest go first: one for each
/// life of the shard that was killed in the middle of a commit.
pub const SQL_SINK_LEFTOVERS_MAX: usize = 1_024;

/// `max.message.bytes` of a topic that a SQL query makes: what the service takes at most, since a query may make larger
/// rows than it reads (COLLECT_LIST, CONCAT), and a row that does not fit is lost to its readers.
pub const SQL_SINK_MESSAGE_BYTES: usize = BATCH_BYTES_MAX;

/// What the expressions of one row make in one step of a query, bytes: text, arrays, maps and structs, those between the
/// functions included. Four of the largest values; more of a row would hold up its tenant's other queries, and many
/// rows are divided until each part stays within it.
pub const SQL_ROW_BYTES_MAX: usize = 4 * SQL_VALUE_BYTES_MAX;

/// A turn of a SQL task ends when it has taken this long, also inside a batch, ms: others of its tenant wait (sql.md 23).
pub const SQL_TURN_MS_MAX: u64 = 5;

/// What a SQL task makes of the rows that it takes at once, bytes, before it takes fewer of them.
pub const SQL_PASS_BYTES_MAX: usize = 2 * SQL_ROW_BYTES_MAX;

/// Rows that a SQL task takes at once where functions make something of them that cannot be made again with fewer:
/// behind a change of state, or a repartition.
pub const SQL_MADE_ROWS_MAX: usize = 32;

/// What the state of one tenant's SQL queries takes in memory unless the operator says otherwise, bytes: until state
/// that is not used can leave memory, one tenant must not take the process's.
pub const TENANT_SQL_STATE_BYTES_DEFAULT: usize = 512 * 1024 * 1024;

/// What SQL queries of one tenant have changed and not committed, bytes, before they commit early: beside what their state
/// may take, for a changed value is in memory twice until its commit (sql.md 15).
pub const SQL_OVERLAY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// … and which part of what the state may take, where that is less.
pub const SQL_OVERLAY_PART: usize = 4;

/// How long a gRPC client may take nothing of a large answer, ms: it holds room that others need.
pub const GRPC_ANSWER_PATIENCE_MS: u64 = 60_000;

/// Refused records that the answer to one produce request names, over all its batches: a few bytes of compressed records
/// would else be answered with megabytes. The rest is counted.
pub const RECORD_ERRORS_MAX: usize = 1_000;

/// Damaged objects that a broker remembers one by one: more are one matter for a person, and all are found again when
/// they are read.
pub const DAMAGED_OBJECTS_MAX: usize = 1_000;

/// Entries of one group that are missing in one place of a damaged journal and for which others are put in: as many as a
/// whole file of the smallest ones holds. More are missing only where the journal lost what said that they were released.
pub const MENDED_ENTRIES_MAX: u64 = 2 * 1024 * 1024;

/// A tenant whose work keeps a worker busy for so long without a pause, ms, …
pub const TURN_LONG_MS: u64 = 10;

/// … leaves half of the workers to others for so long, ms: a thousand times in which others would have had one.
pub const TURN_NARROW_MS: u64 = 1_000;

// What these numbers promise one another. Whoever changes one learns here whom it concerns.
const _: () = {
    // What a door takes, the log can hold; what the log holds, a reader gets.
    assert!(KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED < KAFKA_FRAME_BYTES_MAX);
    assert!(BATCH_BYTES_MAX < KAFKA_FRAME_BYTES_MAX);
    assert!(BATCH_BYTES_MAX < BATCH_DECOMPRESSED_BYTES_MAX);
    assert!(BATCH_BYTES_MAX < ENTRY_BYTES_MAX);
    assert!(ENTRY_BYTES_MAX <= COMMIT_BYTES_MAX);
    assert!(COMMIT_BYTES_MAX <= JOURNAL_WAITING_BYTES_MAX);
    assert!(BATCH_BYTES_MAX <= FETCH_BYTES_MAX);
    assert!(FETCH_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX);
    assert!(FETCH_BYTES_MAX <= READ_BYTES_MAX);
    assert!(FETCH_BYTES_MAX <= KAFKA_ANSWERS_BYTES_MAX);
    assert!(BATCH_BYTES_MAX <= TAIL_CACHE_BYTES);
    assert!(BATCH_BYTES_MAX as u64 <= OBJECT_BYTES_MAX);
    assert!((OBJECT_FOOTER_BYTES_MAX as u64) < OBJECT_BYTES_MAX);

    // Room for requests: a share of it takes the largest one.
    assert!(KAFKA_FRAME_BYTES_MAX <= KAFKA_REQUESTS_BYTES_MAX / ROOM_OWNER_SHARE);
    assert!(ROOM_OWNER_SHARE <= ROOM_CONNECTION_SHARE);
    assert!(KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED <= LOGIN_REQUESTS_BYTES_MAX / ROOM_CONNECTION_SHARE);
    assert!(STRANGERS_MAX <= CONNECTIONS_MAX);
    assert!(HTTP2_STREAM_WINDOW_BYTES <= HTTP2_CONNECTION_WINDOW_BYTES);
    assert!(GRPC_REQUEST_BYTES_MAX <= GRPC_MESSAGE_BYTES_MAX);
    assert!(GRPC_BODY_PATIENCE_MS <= GRPC_BODY_MS_MAX);

    // A tenant gets its groups, and what it gets beyond stays below twice as many.
    assert!(SLOT_TENANT_GROUPS_MAX * SLOTS as usize >= TENANT_GROUPS_MAX * 3 / 2);
    assert!(SLOT_TENANT_GROUPS_MAX * SLOTS as usize <= TENANT_GROUPS_MAX * 2);
    // A group's record fits in a batch.
    assert!(GROUP_MEMBER_BYTES_MAX <= GROUP_BYTES_MAX);
    assert!(GROUP_BYTES_MAX + GROUP_APPEND_BYTES_MAX <= BATCH_BYTES_MAX);
    assert!(OFFSET_METADATA_BYTES_MAX <= GROUP_APPEND_BYTES_MAX);

    // What SQL keeps fits in what it is kept in.
    assert!(SQL_TEXT_BYTES_MAX <= SQL_BODY_BYTES_MAX);
    assert!(SQL_VALUE_BYTES_MAX <= BATCH_BYTES_MAX);
    assert!(SQL_VALUE_BYTES_MAX <= SQL_ROW_BYTES_MAX);
    assert!(SQL_VALUE_BYTES_MAX <= SQL_OVERLAY_BYTES_MAX);
    assert!(SQL_ROW_BYTES_MAX <= SQL_PASS_BYTES_MAX);
    assert!(SQL_CHANGELOG_PIECE_BYTES_MAX < BATCH_BYTES_MAX);
    assert!(SQL_CHANGELOG_PIECE_BYTES_MAX <= SQL_FLUSH_BYTES);
    assert!(SQL_LOG_MESSAGE_BYTES_MAX < BATCH_BYTES_MAX);
    assert!(SQL_COMMIT_INTERVAL_MS_MIN < SQL_COMMIT_INTERVAL_MS_MAX);
    assert!(TENANT_SQL_BYTES_MAX < GRPC_MESSAGE_BYTES_MAX);
    assert!(SQL_BODY_BYTES_MAX + SQL_TEXT_BYTES_MAX < TENANT_SQL_BYTES_MAX);
};
