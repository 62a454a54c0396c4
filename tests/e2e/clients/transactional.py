"""A transactional producer of confluent-kafka: prints the error that it gives up with.

    transactional.py BOOTSTRAP KEY SECRET
"""

import sys

from confluent_kafka import KafkaException, Producer

bootstrap, key, secret = sys.argv[1:]
producer = Producer(
    {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": key,
        "sasl.password": secret,
        "transactional.id": "python",
    }
)
try:
    producer.init_transactions(60)
except KafkaException as error:
    print("fatal" if error.args[0].fatal() else "not fatal", error.args[0].str())
