"""What a Python gRPC client sees of errors that come before the first message of a streamed answer.

    grpc_errors.py ADDRESS KEY SECRET PRODUCER_KEY PRODUCER_SECRET PROTO_FOLDER WORK_FOLDER
"""

import base64
import pathlib
import sys

import grpc
from grpc_tools import protoc

address, key, secret, producer, producer_secret, protos, work = sys.argv[1:]
files = sorted(str(it) for it in pathlib.Path(protos).rglob("*.proto"))
if protoc.main(["protoc", f"-I{protos}", f"--python_out={work}", f"--grpc_python_out={work}", *files]) != 0:
    sys.exit("the .proto files do not compile")
sys.path.insert(0, work)
from millstream.data.v1 import data_pb2, data_pb2_grpc  # noqa: E402
from millstream.sql.v1 import sql_pb2, sql_pb2_grpc  # noqa: E402


def credentials(key, secret):
    return [("authorization", "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode())]


channel = grpc.insecure_channel(address)
sql, data = sql_pb2_grpc.SqlStub(channel), data_pb2_grpc.DataStub(channel)
mine = credentials(key, secret)
limit = 256 * 1024


def refused(call, request, who, code, *words):
    try:
        answers = list(call(request, metadata=who, timeout=30))
    except grpc.RpcError as error:
        assert error.code() == code, (code, error)
        assert all(word in error.details() for word in words), error
        return
    sys.exit(f"{request} was answered: {answers}")


def script(text):
    return sql_pb2.ExecuteRequest(text=text)


Code = grpc.StatusCode
refused(sql.Execute, script("SHOW TOPICS;"), [], Code.UNAUTHENTICATED)
refused(sql.Execute, script("SHOW TOPICS;"), credentials(key, "wrong"), Code.UNAUTHENTICATED)
refused(sql.Execute, script("SHOW TOPICS;"), credentials(producer, producer_secret), Code.PERMISSION_DENIED, "sql-reader")
long = "SELECT '" + "x" * limit + "' FROM s;"
refused(sql.Execute, script(long), mine, Code.INVALID_ARGUMENT, str(len(long)), str(limit))
refused(sql.Execute, script("SELEC;"), mine, Code.INVALID_ARGUMENT, "SELEC")
refused(sql.Execute, script("SELECT * FROM nowhere;"), mine, Code.INVALID_ARGUMENT, "NOWHERE")
refused(data.Watch, data_pb2.WatchRequest(), [], Code.UNAUTHENTICATED)
refused(data.Watch, data_pb2.WatchRequest(), mine, Code.INVALID_ARGUMENT)
print("ok")
