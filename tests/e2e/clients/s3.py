"""An S3 double with the bucket `millstream`: prints its port, ends when standard input does.

A line of standard input is a list of lifecycle rules for the bucket, as JSON; answered with `done`.
"""

import json
import logging
import sys

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
_, port = server.get_host_and_port()
client = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
client.create_bucket(Bucket="millstream")
print(port, flush=True)
for line in sys.stdin:
    rules = json.loads(line)
    if rules:
        client.put_bucket_lifecycle_configuration(
            Bucket="millstream", LifecycleConfiguration={"Rules": rules}
        )
    else:
        client.delete_bucket_lifecycle(Bucket="millstream")
    print("done", flush=True)
server.stop()
