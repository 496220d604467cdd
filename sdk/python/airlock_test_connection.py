"""
Tests one connection with the hook that the user's Python has for its type, as Airflow's own worker does.

Started inside the sandbox for this one connection. Reads one frame on descriptor 3, sends one and ends: a 4-byte big-endian
length and UTF-8 JSON, as contract/src/ipc/runner.ts says. The connection comes over the channel, never by argument or file.
"""

import json
import os

CHANNEL = 3
MAX_MESSAGE = 2000


def read(count):
    data = b""
    while len(data) < count:
        part = os.read(CHANNEL, count - len(data))
        if not part:
            raise SystemExit(1)
        data += part
    return data


def receive():
    return json.loads(read(int.from_bytes(read(4), "big")))


def send(frame):
    body = json.dumps(frame, default=str).encode()
    data = memoryview(len(body).to_bytes(4, "big") + body)
    while data:
        data = data[os.write(CHANNEL, data) :]


def test(fields):
    os.environ["AIRFLOW_HOME"] = os.environ["HOME"]
    # Hooks look their connection up by its id: in the environment, before anywhere else.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    from airflow.sdk.definitions.connection import Connection

    connection = Connection(**fields)
    os.environ["AIRFLOW_CONN_" + fields["conn_id"].upper()] = connection.get_uri()
    return connection.test_connection()


def main():
    frame = receive()
    fields = frame["connection"]
    try:
        status, message = test(fields)
    except Exception as error:
        # Its text may hold anything, the secret too.
        status, message = False, f"Connection test failed unexpectedly: {type(error).__name__}"
    send({"type": "connection_tested", "status": bool(status), "message": str(message)[:MAX_MESSAGE]})


main()
