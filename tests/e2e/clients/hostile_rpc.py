"""Hostile values in every field of every RPC of the control and data services: each is answered with a clear status.

    hostile_rpc.py ADDRESS PROTO_FOLDER WORK_FOLDER < {"operator": {...}, "caller": {...}, "foreign": [...]}

Standard input says the keys of an operator and of a tenant's administrator ({"id", "secret"}), and names and ids of
another tenant. The calls are made as the operator, as the tenant, and with a key that nobody knows. Prints how many
calls were made and what of the answers was not clear.
"""

import base64
import collections
import json
import pathlib
import sys

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Field
from grpc_tools import protoc

address, protos, work = sys.argv[1:]
told = json.load(sys.stdin)
files = sorted(str(it) for it in pathlib.Path(protos).rglob("*.proto"))
if protoc.main(["protoc", f"-I{protos}", f"--python_out={work}", *files]) != 0:
    sys.exit("the .proto files do not compile")
sys.path.insert(0, work)
from millstream.control.v1 import control_pb2  # noqa: E402
from millstream.data.v1 import data_pb2  # noqa: E402

CLEAR = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}
TEXTS = ["", " ", ".", "..", "a/b", "x" * 300, "x" * 200_000, "ü", "日本" * 40, "\u202e", "\0", "a\nb", "'; --", "%s"]
NUMBERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]
DOUBLES = [0.0, -1.0, 0.5, 1e308, float("nan"), float("inf"), float("-inf")]
BYTES = [b"", b"\0" * 100, b"\xff" * 70, b"\xff" * 2_000_000]
RANGES = {
    Field.TYPE_INT32: (-(2**31), 2**31 - 1),
    Field.TYPE_INT64: (-(2**63), 2**63 - 1),
    Field.TYPE_UINT32: (0, 2**32 - 1),
    Field.TYPE_UINT64: (0, 2**64 - 1),
}
# What a well-meant request says, by the field's name; other texts are "mine".
USUAL = {"account_id": "", "organization_id": "", "group": "mine", "topic": "mine", "name": "mine", "kind": "query"}
# Waits that are asked for and given: the caller ends them.
PATIENT = {"Watch", "Fetch", "ListSqlRows"}


def values(field):
    """Hostile values of one scalar field."""
    if field.type == Field.TYPE_STRING:
        return TEXTS + told["foreign"]
    if field.type in RANGES:
        low, high = RANGES[field.type]
        return [it for it in NUMBERS if low <= it <= high]
    if field.type == Field.TYPE_DOUBLE:
        return DOUBLES
    if field.type == Field.TYPE_BYTES:
        return BYTES
    if field.type == Field.TYPE_ENUM:
        return [0, 1, 2, 99, -1]
    return [True, False]


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def usual(descriptor):
    """A request as somebody would mean it."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if is_map(field):
            continue
        if field.message_type is not None:
            inner = usual(field.message_type)
            if field.is_repeated:
                getattr(message, field.name).append(inner)
            else:
                getattr(message, field.name).CopyFrom(inner)
        elif field.type == Field.TYPE_STRING:
            text = USUAL.get(field.name, "mine")
            if field.is_repeated:
                getattr(message, field.name).append(text)
            else:
                setattr(message, field.name, text)
    return message


def variants(descriptor):
    """The usual request with one hostile thing in it, each in turn; and the empty request."""
    yield message_factory.GetMessageClass(descriptor)()
    yield usual(descriptor)
    for field in descriptor.fields:
        if is_map(field):
            for name in TEXTS:
                message = usual(descriptor)
                getattr(message, field.name)[name] = "1"
                yield message
                message = usual(descriptor)
                getattr(message, field.name)["retention.ms"] = name
                yield message
        elif field.message_type is not None:
            for inner in variants(field.message_type):
                message = usual(descriptor)
                if field.is_repeated:
                    del getattr(message, field.name)[:]
                    getattr(message, field.name).append(inner)
                else:
                    getattr(message, field.name).CopyFrom(inner)
                yield message
            if field.is_repeated:
                message = usual(descriptor)
                del getattr(message, field.name)[:]
                yield message
                many = usual(descriptor)
                getattr(many, field.name).extend([usual(field.message_type)] * 3000)
                yield many
        else:
            for value in values(field):
                message = usual(descriptor)
                if field.is_repeated:
                    getattr(message, field.name).extend([value, value])
                else:
                    setattr(message, field.name, value)
                yield message


def unclear_parts(message):
    """Errors inside of an answer that say nothing."""
    for field, value in message.ListFields():
        if field.message_type is None or is_map(field):
            continue
        for inner in value if field.is_repeated else [value]:
            if inner.DESCRIPTOR.full_name == "millstream.data.v1.Error" and not (inner.code and inner.message):
                yield f"an error that says nothing: {inner}"
            yield from unclear_parts(inner)


counts = collections.Counter()
unclear = []


def call(channel, method, request, metadata):
    """Makes one call; notes what of its answer is not clear."""
    stub = channel.unary_stream if method.server_streaming else channel.unary_unary
    answer_class = message_factory.GetMessageClass(method.output_type)
    made = stub(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda it: it.SerializeToString(),
        response_deserializer=answer_class.FromString,
    )
    shown = f"{method.name} {str(request)[:200]!r}"
    try:
        timeout = 0.3 if method.name in PATIENT else 30
        answer = made(request, metadata=metadata, timeout=timeout)
        if method.server_streaming:
            stream, answer = answer, next(answer)
            stream.cancel()
        counts["OK"] += 1
        unclear.extend(f"{shown}: {it}" for it in unclear_parts(answer))
    except grpc.RpcError as error:
        code, text = error.code(), error.details() or ""
        counts[code.name] += 1
        if code == grpc.StatusCode.DEADLINE_EXCEEDED and method.name in PATIENT:
            return
        if code not in CLEAR or not text or len(text) > 2000:
            unclear.append(f"{shown}: {code.name} {text[:300]!r} ({len(text)} characters)")


def credentials(key):
    text = base64.b64encode(f"{key['id']}:{key['secret']}".encode()).decode()
    return [("authorization", f"Basic {text}")]


options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
channel = grpc.insecure_channel(address, options)
nobody = {"id": "A" * 20, "secret": "x"}
for key in [told["caller"], told["operator"], nobody]:
    for file in [control_pb2, data_pb2]:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                requests = list(variants(method.input_type))
                for request in requests[:2] if key is nobody else requests:
                    call(channel, method, request, credentials(key))
print(json.dumps({"calls": sum(counts.values()), "codes": counts, "unclear": unclear[:40], "count": len(unclear)}))
