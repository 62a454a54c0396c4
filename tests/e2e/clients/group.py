"""A consumer group of confluent-kafka with two members: the second joins while the first reads, and leaves again.

    group.py BOOTSTRAP KEY SECRET TOPIC GROUP COUNT      reads COUNT records, prints what it saw as JSON
    group.py BOOTSTRAP KEY SECRET TOPIC GROUP committed  prints the committed offsets of the group's partitions as JSON
"""

import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

bootstrap, key, secret, topic, group, count = sys.argv[1:]
DEADLINE = time.monotonic() + 100
settings = {
    "bootstrap.servers": bootstrap,
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanisms": "PLAIN",
    "sasl.username": key,
    "sasl.password": secret,
    "group.id": group,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "session.timeout.ms": 10000,
    "heartbeat.interval.ms": 500,
    "fetch.wait.max.ms": 100,
}


class Member:
    def __init__(self, name):
        self.consumer = Consumer({**settings, "client.id": name})
        self.assigned = []
        self.assignments = 0
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)

    def on_assign(self, _, partitions):
        self.assigned = [it.partition for it in partitions]
        self.assignments += 1

    def on_revoke(self, consumer, _):
        self.commit(consumer)
        self.assigned = []

    def commit(self, consumer):
        try:
            consumer.commit(asynchronous=False)
        except Exception as error:  # nothing read since the last commit
            if error.args[0].code() != KafkaError._NO_OFFSET:
                raise

    def read(self, seen):
        for message in self.consumer.consume(500, timeout=0.1):
            if message.error():
                raise SystemExit(str(message.error()))
            value = message.value().decode()
            seen.setdefault(value, []).append((message.partition(), message.offset()))

    def leave(self):
        self.commit(self.consumer)
        self.consumer.close()


def wait(what, done, members, seen):
    while not done():
        if time.monotonic() > DEADLINE:
            raise SystemExit(f"gave up waiting until {what}: {len(seen)} read, {[it.assigned for it in members]}")
        for member in members:
            member.read(seen)


if count == "committed":
    consumer = Consumer(settings)
    partitions = sorted(consumer.list_topics(topic, 30).topics[topic].partitions)
    offsets = consumer.committed([TopicPartition(topic, it) for it in partitions], 30)
    print(json.dumps({it.partition: it.offset for it in offsets}))
    consumer.close()
    sys.exit(0)

count = int(count)
seen = {}
one = Member("one")
wait("the first member reads", lambda: len(seen) >= min(count // 10, 1000), [one], seen)
two = Member("two")
wait("both have partitions", lambda: one.assigned and two.assigned, [one, two], seen)
shared = sorted(one.assigned + two.assigned)
wait("all is read", lambda: len(seen) == count, [one, two], seen)
two.leave()
wait("the first has all partitions again", lambda: sorted(one.assigned) == shared, [one], seen)
one.leave()
orders = {}
for value, places in seen.items():
    orders.setdefault(places[0][0], []).append((places[0][1], int(value.split(" ")[1])))
print(
    json.dumps(
        {
            "read": len(seen),
            "doubled": sum(len(places) - 1 for places in seen.values()),
            "shared": shared,
            "assignments": one.assignments,
            "ordered": all([it[1] for it in sorted(order)] == sorted(it[1] for it in order) for order in orders.values()),
            "ends": {partition: max(order)[0] + 1 for partition, order in orders.items()},
        }
    )
)
