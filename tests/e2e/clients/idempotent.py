"""An idempotent producer of confluent-kafka: COUNT records over the partitions of a topic, every compression in turn.

    idempotent.py BOOTSTRAP KEY SECRET TOPIC PARTITIONS COUNT

Prints `half` when half of them are delivered (the caller then breaks the broker) and `done` when all are.
"""

import sys

from confluent_kafka import Producer

bootstrap, key, secret, topic, partitions, count = sys.argv[1:]
partitions, count = int(partitions), int(count)
codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
delivered = 0
failed = []


def on_delivery(error, message):
    global delivered
    if error is not None:
        failed.append(str(error))
        return
    delivered += 1
    if delivered == count // 2:
        print("half", flush=True)


def producer(codec):
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": key,
            "sasl.password": secret,
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 5,
            "delivery.timeout.ms": 90000,
            "reconnect.backoff.max.ms": 500,
            "queue.buffering.max.messages": 200000,
        }
    )


each = count // len(codecs)
for number, codec in enumerate(codecs):
    client = producer(codec)
    first = number * each
    last = count if codec == codecs[-1] else first + each
    for record in range(first, last):
        partition = record % partitions
        client.produce(topic, f"{codec} {record}", f"key {record}", partition, on_delivery=on_delivery)
        client.poll(0)
    left = client.flush(100)
    if left:
        failed.append(f"{left} records of {codec} are still in the queue")
if failed or delivered != count:
    print(f"delivered {delivered} of {count}; failed: {failed[:5]}", file=sys.stderr)
    sys.exit(1)
print("done", flush=True)
