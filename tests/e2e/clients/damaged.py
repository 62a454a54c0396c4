"""What confluent-kafka tells of records that cannot be read: damaged.py BOOTSTRAP KEY SECRET TOPIC OFFSET

Prints the offsets that it read from OFFSET of partition 0 on, and then the error, as one line of JSON.
"""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition

bootstrap, key, secret, topic, offset = sys.argv[1:]
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": key,
        "sasl.password": secret,
        "group.id": "damaged",
        "enable.auto.commit": False,
    }
)
consumer.assign([TopicPartition(topic, 0, int(offset))])
deadline, read = time.monotonic() + 60, []
while time.monotonic() < deadline:
    message = consumer.poll(1)
    if message is None:
        continue
    if message.error():
        print(json.dumps({"read": read, "code": message.error().code()}))
        break
    read.append(message.offset())
else:
    raise SystemExit(f"no error within a minute; read {read}")
consumer.close()
