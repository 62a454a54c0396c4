"""A consumer of confluent-kafka with KIP-848's group protocol: prints the code of the first error that it is told.

    new_protocol.py BOOTSTRAP KEY SECRET TOPIC
"""

import sys
import time

from confluent_kafka import Consumer

bootstrap, key, secret, topic = sys.argv[1:]
consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": key,
        "sasl.password": secret,
        "group.id": "new",
        "group.protocol": "consumer",
    }
)
consumer.subscribe([topic])
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    message = consumer.poll(1)
    if message is not None and message.error() is not None:
        print(message.error().name())
        break
else:
    sys.exit("nothing was told in a minute")
consumer.close()
