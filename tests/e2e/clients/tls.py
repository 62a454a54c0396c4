"""TLS at both doors.

    tls.py certificate FOLDER                        makes an authority, and a certificate for 127.0.0.1 signed by it
    tls.py expired FOLDER                            the same, but it expired an hour ago
    tls.py use KAFKA HTTP KEY SECRET AUTHORITY       produces, consumes, calls gRPC and asks /readyz, all over TLS
"""

import datetime
import ipaddress
import pathlib
import ssl
import sys
import urllib.request


def certificate(folder, hours):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)

    def signed(name, subject_key, issuer, issuer_key, extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(subject_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(hours=hours))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(issuer_key, hashes.SHA256())

    def named(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def pem(it):
        return it.public_bytes(serialization.Encoding.PEM)

    folder = pathlib.Path(folder)
    for who in ["authority", "stranger"]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = named(who)
        itself = signed(name, key, name, key, [x509.BasicConstraints(ca=True, path_length=None)])
        (folder / f"{who}.pem").write_bytes(pem(itself))
        if who != "authority":
            continue
        server_key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        )
        usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
        limits = x509.BasicConstraints(ca=False, path_length=None)
        server = signed(named("millstream"), server_key, name, key, [limits, names, usage])
        (folder / "server.pem").write_bytes(pem(server))
        (folder / "server.key").write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def kafka(bootstrap, key, secret, authority):
    from confluent_kafka import Consumer, Producer

    settings = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": authority,
        "sasl.mechanisms": "PLAIN",
        "sasl.username": key,
        "sasl.password": secret,
    }
    producer = Producer({**settings, "enable.idempotence": True})
    for number in range(1000):
        producer.produce("tls", f"value {number}")
    assert producer.flush(60) == 0, "everything is delivered"
    consumer = Consumer({**settings, "group.id": "tls", "auto.offset.reset": "earliest"})
    consumer.subscribe(["tls"])
    read = []
    while len(read) < 1000:
        message = consumer.poll(60)
        assert message is not None and message.error() is None, message and message.error()
        read.append(message.value().decode())
    consumer.close()
    assert read == [f"value {number}" for number in range(1000)], "one partition, in order"


def grpc_health(address, authority):
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    roots = pathlib.Path(authority).read_bytes()
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots))
    status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status
    assert status == health_pb2.HealthCheckResponse.SERVING, status


def https(address, authority):
    context = ssl.create_default_context(cafile=authority)
    with urllib.request.urlopen(f"https://{address}/readyz", context=context, timeout=20) as answer:
        assert answer.status == 200, answer.status


if sys.argv[1] in ["certificate", "expired"]:
    certificate(sys.argv[2], 48 if sys.argv[1] == "certificate" else -1)
else:
    bootstrap, address, key, secret, authority = sys.argv[2:]
    kafka(bootstrap, key, secret, authority)
    grpc_health(address, authority)
    https(address, authority)
    print("ok")
