"""A paho-mqtt client that does what it reads on standard input, a line each, and prints what happens, a line each.

paho_client.py VERSION TRANSPORT HOST PORT CLIENT_ID CLEAN [WILL_TOPIC]

  subscribe FILTER QOS                      granted CODE
  publish TOPIC QOS RETAIN COUNT            published COUNT      payloads "0", "1", .. ; when all are complete
  describe TOPIC                            published 1          with properties (5.0)
  disconnect                                the end
and by itself: connected SESSION_PRESENT, lost, message TOPIC QOS RETAIN PAYLOAD
"""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

version, transport, host, port, client_id, clean = sys.argv[1:7]
will = sys.argv[7] if len(sys.argv) > 7 else None
protocol = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}[version]
five = protocol == mqtt.MQTTv5


def say(*words):
    # In one piece: two threads say something.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def on_connect(client, userdata, flags, reason_code, properties):
    say("refused" if reason_code.is_failure else "connected", int(flags.session_present))


def on_disconnect(client, userdata, flags, reason_code, properties):
    say("lost")


def on_message(client, userdata, message):
    say("message", message.topic, message.qos, int(message.retain), message.payload.decode())


def on_subscribe(client, userdata, mid, reason_codes, properties):
    say("granted", *(code.value for code in reason_codes))


outstanding = 0
done = threading.Condition()


def on_publish(client, userdata, mid, reason_code, properties):
    global outstanding
    with done:
        outstanding -= 1
        done.notify_all()


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    clean_session=None if five else clean == "1",
    protocol=protocol,
    transport="websockets" if transport == "ws" else "tcp",
)
client.on_connect = on_connect
client.on_disconnect = on_disconnect
client.on_message = on_message
client.on_subscribe = on_subscribe
client.on_publish = on_publish
client.reconnect_delay_set(min_delay=1, max_delay=2)
client.max_queued_messages_set(0)
if will is not None:
    client.will_set(will, "gone", qos=1)
if five:
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 0 if clean == "1" else 600
    client.connect(host, int(port), clean_start=clean == "1", properties=kept)
else:
    client.connect(host, int(port))
client.loop_start()

for line in sys.stdin:
    command, *words = line.split()
    if command == "subscribe":
        client.subscribe(words[0], qos=int(words[1]))
    elif command in ("publish", "describe"):
        topic, qos, retain, count = (words + ["1", "0", "1"])[:4] if command == "describe" else words
        properties = None
        if command == "describe":
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType = "text/plain"
            properties.ResponseTopic = "answers"
            properties.CorrelationData = b"\x01\x02"
            properties.UserProperty = ("colour", "blue")
        outstanding = int(count)
        for number in range(int(count)):
            client.publish(topic, str(number), qos=int(qos), retain=retain == "1", properties=properties)
        with done:
            done.wait_for(lambda: outstanding <= 0)
        say("published", count)
    elif command == "disconnect":
        client.disconnect()
        client.loop_stop()
        break
