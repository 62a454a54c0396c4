"""A Python gRPC client with stubs made from the .proto files: health, reflection, topics, produce, fetch, watch, SQL.

    grpc_client.py ADDRESS KEY SECRET PROTO_FOLDER WORK_FOLDER
"""

import base64
import pathlib
import struct
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

address, key, secret, protos, work = sys.argv[1:]
files = sorted(str(it) for it in pathlib.Path(protos).rglob("*.proto"))
if protoc.main(["protoc", f"-I{protos}", f"--python_out={work}", f"--grpc_python_out={work}", *files]) != 0:
    sys.exit("the .proto files do not compile")
sys.path.insert(0, work)
from millstream.control.v1 import control_pb2, control_pb2_grpc  # noqa: E402
from millstream.data.v1 import data_pb2, data_pb2_grpc  # noqa: E402
from millstream.sql.v1 import sql_pb2, sql_pb2_grpc  # noqa: E402


def credentials(key, secret):
    return [("authorization", "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode())]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch(values):
    """A Kafka record batch, version 2, of records without key."""
    records = b""
    for delta, value in enumerate(values):
        body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(body)) + body
    now = 1700000000000
    tail = struct.pack(">hiqqqhii", 0, len(values) - 1, now, now, -1, -1, -1, len(values)) + records
    return struct.pack(">qiibI", 0, 9 + len(tail), -1, 2, crc32c(tail)) + tail


channel = grpc.insecure_channel(address)
mine = credentials(key, secret)

status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status
assert status == health_pb2.HealthCheckResponse.SERVING, status

services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
expected = {
    "grpc.health.v1.Health",
    "millstream.control.v1.Topics",
    "millstream.control.v1.Keys",
    "millstream.data.v1.Data",
    "millstream.sql.v1.Sql",
}
assert expected <= services, f"reflection does not list {sorted(expected - services)}"
for service in sorted(name for name in services if name.startswith("millstream.")):
    check = health_pb2.HealthCheckRequest(service=service)
    status = health_pb2_grpc.HealthStub(channel).Check(check, timeout=20).status
    assert status == health_pb2.HealthCheckResponse.SERVING, (service, status)

topics = control_pb2_grpc.TopicsStub(channel)
try:
    topics.ListTopics(control_pb2.ListTopicsRequest(), metadata=credentials(key, "wrong"), timeout=20)
    sys.exit("a wrong secret was let in")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
    assert error.details(), "a refusal says why"
try:
    topics.ListTopics(control_pb2.ListTopicsRequest(), timeout=20)
    sys.exit("a call without key was let in")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error

topic = topics.CreateTopic(control_pb2.CreateTopicRequest(name="python", partitions=2), metadata=mine, timeout=20)
assert topic.partitions == 2, topic
try:
    topics.CreateTopic(control_pb2.CreateTopicRequest(name="python"), metadata=mine, timeout=20)
    sys.exit("a topic was made twice")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
for name in ["", "a/b", "x" * 300, "."]:
    try:
        topics.CreateTopic(control_pb2.CreateTopicRequest(name=name), metadata=mine, timeout=20)
        sys.exit(f"a topic named {name!r} was made")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (name, error)

data = data_pb2_grpc.DataStub(channel)
partition = data_pb2.Partition(topic="python", index=1)
values = [f"value {it}".encode() for it in range(100)]
watch = data.Watch(data_pb2.WatchRequest(partitions=[partition]), metadata=mine, timeout=60)
first = next(watch).watermarks[0]
assert first.high_watermark == 0, first
for expected_offset in (0, 100):
    produced = data.Produce(
        data_pb2.ProduceRequest(
            partitions=[data_pb2.ProducePartition(partition=partition, batch=batch(values))],
            acks=data_pb2.ACKS_ALL,
        ),
        metadata=mine,
        timeout=20,
    ).results[0]
    assert not produced.HasField("error"), produced
    assert produced.base_offset == expected_offset, produced
for change in watch:
    if change.watermarks[0].high_watermark == 200:
        break
watch.cancel()

fetched = data.Fetch(
    data_pb2.FetchRequest(
        partitions=[data_pb2.FetchPartition(partition=partition, offset=0)], bytes_min=1, wait_ms=5000
    ),
    metadata=mine,
    timeout=20,
).results[0]
assert fetched.high_watermark == 200, fetched
assert len(fetched.records) == 2 * len(batch(values)), len(fetched.records)
assert fetched.records[61:] .startswith(batch(values)[61 : len(batch(values))]), "the same bytes come back"
unknown = data.Fetch(
    data_pb2.FetchRequest(
        partitions=[data_pb2.FetchPartition(partition=data_pb2.Partition(topic="nowhere"), offset=0)]
    ),
    metadata=mine,
    timeout=20,
).results[0]
assert unknown.error.code == "UNKNOWN_TOPIC_OR_PARTITION", unknown
damaged = bytearray(batch(values))
damaged[-1] ^= 1
refused = data.Produce(
    data_pb2.ProduceRequest(partitions=[data_pb2.ProducePartition(partition=partition, batch=bytes(damaged))]),
    metadata=mine,
    timeout=20,
).results[0]
assert refused.error.code == "CORRUPT_MESSAGE" and refused.error.message, refused

sql = sql_pb2_grpc.SqlStub(channel)
events = list(sql.Execute(sql_pb2.ExecuteRequest(text="SHOW TOPICS;"), metadata=mine, timeout=20))
kinds = [it.WhichOneof("event") for it in events]
assert kinds[0] == "started" and kinds[-1] == "finished" and "rows" in kinds, kinds
events = []
try:
    for event in sql.Execute(sql_pb2.ExecuteRequest(text="SELEC 1;"), metadata=mine, timeout=20):
        events.append(event)
    sys.exit("nonsense worked")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
failed = events[-1].failed
assert failed.line == 1 and failed.column == 1 and failed.message, events

topics.DeleteTopic(control_pb2.DeleteTopicRequest(name="python"), metadata=mine, timeout=20)
try:
    topics.GetTopic(control_pb2.GetTopicRequest(name="python"), metadata=mine, timeout=20)
    sys.exit("a deleted topic is still there")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
print("ok")
